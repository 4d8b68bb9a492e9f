//! What must be in the repository, and the comparison with what is.

use std::{error::Error, path::PathBuf};

use super::engine::Ended;

/// A point that is there, or may be.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    /// Its machine.
    pub(crate) vm: &'static str,
    /// Its tag, unlike any other.
    pub(crate) tag: String,
    /// Its id, once it was seen.
    pub(crate) id: Option<String>,
    /// The disk it was made from.
    pub(crate) image: PathBuf,
}

/// The points that were seen, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Model {
    /// They must stay.
    pub(crate) points: Vec<Point>,
}

impl Model {
    /// Compares the answer of `points` with the model and what was tried since; takes over what is new and
    /// what is gone by right. Returns the tags of the new ones.
    pub(crate) fn compare(
        &mut self,
        listing: &Ended,
        made: &[(Point, Ended)],
        forgotten: Option<(&[String], &Ended)>,
    ) -> Result<Vec<String>, Box<dyn Error>> {
        let listed = listing.answer["points"].as_array().filter(|_| listing.code == 0);
        let listed = listed.ok_or_else(|| format!("points: {}", listing.describe()))?;
        let mut seen = Vec::new();
        for point in listed {
            let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            seen.push((text(&point["tags"][0]), text(&point["id"]), text(&point["name"])));
        }
        let mut fresh = Vec::new();
        for (tag, id, name) in &seen {
            let known = self.points.iter().find(|p| p.tag == *tag);
            let tried = made.iter().find(|(p, _)| p.tag == *tag);
            let expected = known.or(tried.map(|(p, _)| p));
            let Some(expected) = expected else { return Err(format!("a point nobody made: {tag}").into()) };
            if expected.vm != name || expected.id.as_ref().is_some_and(|e| e != id) {
                return Err(format!("{tag} is {id} of {name}, was {expected:?}").into());
            }
            if let (None, Some((point, ended))) = (known, tried) {
                let said = ended.answer["point"].as_str();
                if !ended.was_killed && (!ended.is_done() || said != Some(id)) {
                    return Err(format!("{tag} is there as {id}, but: {}", ended.describe()).into());
                }
                self.points.push(Point { id: Some(id.clone()), ..point.clone() });
                fresh.push(tag.clone());
            }
        }
        let is_seen = |tag: &str| seen.iter().any(|(t, ..)| t == tag);
        if let Some((point, _)) = made.iter().find(|(p, ended)| ended.is_done() && !is_seen(&p.tag)) {
            return Err(format!("{} was made and is not there", point.tag).into());
        }
        if let Some((tags, ended)) = forgotten {
            let left = tags.iter().find(|tag| is_seen(tag));
            if let (true, Some(tag)) = (ended.is_done(), left) {
                return Err(format!("{tag} was forgotten and is there").into());
            }
            // A killed `forget` may have deleted some of several points.
            if ended.is_done() || ended.was_killed {
                self.points.retain(|p| !tags.contains(&p.tag) || is_seen(&p.tag));
            }
        }
        match self.points.iter().find(|p| !is_seen(&p.tag)) {
            Some(point) => Err(format!("a point is gone: {point:?}").into()),
            None => Ok(fresh),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn ended(code: i32, answer: Value) -> Ended {
        let was_killed = code < 0;
        Ended { was_killed, code, answer, errors: String::new(), took: std::time::Duration::ZERO }
    }

    fn listing(tags: &[&str]) -> Ended {
        let points = tags.iter().map(|t| json!({"id": format!("id-{t}"), "name": "a", "tags": [t]}));
        ended(0, json!({"points": points.collect::<Vec<_>>()}))
    }

    fn tried(tag: &str, ended: Ended) -> [(Point, Ended); 1] {
        [(Point { vm: "a", tag: tag.to_owned(), id: None, image: PathBuf::new() }, ended)]
    }

    #[test]
    fn a_killed_ingest_may_have_made_its_point_or_not() {
        let mut model = Model::default();
        assert!(model.compare(&listing(&[]), &tried("1", ended(-1, Value::Null)), None).unwrap().is_empty());
        let fresh = model.compare(&listing(&["2"]), &tried("2", ended(-1, Value::Null)), None).unwrap();
        assert_eq!((fresh, model.points.len()), (vec!["2".to_owned()], 1));
    }

    #[test]
    fn what_contradicts_the_model_is_an_error() {
        let mut model = Model::default();
        let done = |id: &str| ended(0, json!({"point": id}));
        assert!(model.compare(&listing(&[]), &tried("1", done("id-1")), None).is_err(), "lost");
        assert!(model.compare(&listing(&["1"]), &tried("1", ended(1, Value::Null)), None).is_err(), "half");
        assert!(model.compare(&listing(&["1"]), &tried("1", done("id-9")), None).is_err(), "another id");
        assert!(model.compare(&listing(&["1"]), &[], None).is_err(), "from nowhere");
        assert!(model.compare(&ended(3, json!({"points": []})), &[], None).is_err(), "unreadable points");
        model.compare(&listing(&["1"]), &tried("1", done("id-1")), None).unwrap();
        assert!(model.compare(&listing(&[]), &[], None).is_err(), "gone");
    }

    #[test]
    fn forgotten_points_go() {
        let mut model = Model::default();
        model.compare(&listing(&["1"]), &tried("1", ended(-1, Value::Null)), None).unwrap();
        let tags = ["1".to_owned()];
        let done = ended(0, Value::Null);
        assert!(model.compare(&listing(&["1"]), &[], Some((&tags, &done))).is_err());
        model.compare(&listing(&[]), &[], Some((&tags, &done))).unwrap();
        assert!(model.points.is_empty());
    }
}
