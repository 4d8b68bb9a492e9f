//! A policy as clients of the published contract see it.

use serde_json::{Value, json};

use super::Policy;

impl Policy {
    /// `properties`, with the number of items that use it.
    #[must_use]
    pub fn wire(&self, items: u64) -> Value {
        // a policy is made of words and numbers: it can be written
        let mut properties = serde_json::to_value(&self.properties).unwrap_or_default();
        if let Some(schedule) = properties.get_mut("schedulePolicy").and_then(Value::as_object_mut) {
            schedule.insert("scheduleWeeklyFrequency".to_owned(), 0.into());
        }
        if let Some(all) = properties.as_object_mut() {
            all.insert("policyType".to_owned(), "V1".into());
            all.insert("protectedItemsCount".to_owned(), items.into());
            all.insert("instantRPDetails".to_owned(), json!({}));
            let tiering =
                json!({"ArchivedRP": {"tieringMode": "DoNotTier", "duration": 0, "durationType": "Invalid"}});
            all.insert("tieringPolicy".to_owned(), tiering);
        }
        properties
    }
}
