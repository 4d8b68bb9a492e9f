//! Expressions of the template language, and text that must not become one.

/// A text from outside as a value: one in square brackets would be evaluated.
pub(super) fn literal(text: &str) -> String {
    if text.starts_with('[') && text.ends_with(']') { format!("[{text}") } else { text.to_owned() }
}

/// The value of a parameter.
pub(super) fn parameter(name: &str) -> String {
    format!("[parameters('{name}')]")
}

/// The id of a resource of the group that is deployed to; `name` is the inside of an expression.
pub(super) fn resource_id(kind: &str, name: &str) -> String {
    format!("[resourceId('{kind}', {name})]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_in_brackets_is_not_evaluated() {
        assert_eq!(literal("[resourceGroup().id]"), "[[resourceGroup().id]");
        assert_eq!(literal("[[x]"), "[[[x]", "what is escaped comes back with its own bracket");
        for plain in ["", "x", "[x", "x]", "a [x]"] {
            assert_eq!(literal(plain), plain);
        }
        assert_eq!(parameter("subnet"), "[parameters('subnet')]");
    }
}
