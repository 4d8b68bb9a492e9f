//! JSON as it lies in the files: UTF-16 or UTF-8 with or without a byte order mark, NULs at the end.

use cofre_arm::{ApiError, Result};
use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

fn json(what: &str, value: &impl Serialize, room: usize) -> Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    serde_json::to_writer_pretty(&mut *bytes, value)
        .map_err(|e| ApiError::invalid(format!("the {what} cannot be written as JSON")).because(e))?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn utf8<'a>(what: &str, bytes: &'a [u8]) -> Result<&'a str> {
    std::str::from_utf8(bytes).map_err(|e| ApiError::invalid(format!("the {what} is not UTF-8")).because(e))
}

/// JSON with line breaks. Characters outside ASCII are escaped: what scripts read it with takes plain
/// bytes for its own code page.
///
/// `room` is what to set aside for secrets, so that none stays behind in a buffer that was outgrown.
pub(super) fn ascii_json(what: &str, value: &impl Serialize, room: usize) -> Result<Zeroizing<Vec<u8>>> {
    let plain = json(what, value, room)?;
    if plain.is_ascii() {
        return Ok(plain);
    }
    // a character becomes 6 bytes for each of its UTF-16 units, which is at most 3 times its UTF-8
    let mut escaped = Zeroizing::new(Vec::with_capacity(plain.len() * 3));
    for c in utf8(what, &plain)?.chars() {
        if c.is_ascii() {
            escaped.extend(u8::try_from(c).ok());
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                escaped.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
            }
        }
    }
    Ok(escaped)
}

/// JSON with line breaks in UTF-16, with no byte order mark.
pub(super) fn utf16_json(what: &str, value: &impl Serialize) -> Result<Vec<u8>> {
    Ok(utf16(utf8(what, &json(what, value, 0)?)?))
}

/// UTF-16, little-endian, with no mark.
fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// The text of a file of at most `limit` bytes.
///
/// # Errors
/// One that is longer, or neither UTF-16 (little-endian) nor UTF-8.
pub(super) fn decode(what: &str, bytes: &[u8], limit: usize) -> Result<Zeroizing<String>> {
    if bytes.len() > limit {
        return Err(ApiError::invalid(format!("the {what} has more than {limit} bytes")));
    }
    let text = match bytes {
        [0xff, 0xfe, rest @ ..] => from_utf16(rest),
        // JSON begins with an ASCII character
        [_, 0, ..] => from_utf16(bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => std::str::from_utf8(rest).ok().map(|t| Zeroizing::new(t.to_owned())),
        _ => std::str::from_utf8(bytes).ok().map(|t| Zeroizing::new(t.to_owned())),
    };
    text.ok_or_else(|| ApiError::invalid(format!("the {what} is neither UTF-16 (little-endian) nor UTF-8")))
}

fn from_utf16(bytes: &[u8]) -> Option<Zeroizing<String>> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    // never outgrown: a unit is at most 3 bytes of UTF-8
    let mut text = Zeroizing::new(String::with_capacity(pairs.len() * 3));
    for c in char::decode_utf16(pairs.iter().map(|pair| u16::from_le_bytes(*pair))) {
        text.push(c.ok()?);
    }
    Some(text)
}

/// Reads JSON.
///
/// # Errors
/// Where it is not what is wanted. What stands there is not repeated: it may be secret.
pub(super) fn parse<T: DeserializeOwned>(what: &str, text: &str) -> Result<T> {
    serde_json::from_str(text.trim_end_matches('\0')).map_err(|e| {
        let why = if e.is_data() { "has a member that is not as it should be" } else { "is not JSON" };
        ApiError::invalid(format!("the {what} {why}: line {}, column {}", e.line(), e.column()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_one_text() {
        let text = "{\"ä\": \"😀\"}";
        let plain = utf16(text);
        let with_mark = [b"\xff\xfe", plain.as_slice()].concat();
        let utf8_mark = [b"\xef\xbb\xbf", text.as_bytes()].concat();
        for bytes in [plain.as_slice(), &with_mark, &utf8_mark, text.as_bytes()] {
            assert_eq!(decode("file", bytes, 100).unwrap().as_str(), text);
        }
        for bad in [&plain[..plain.len() - 1], b"{\0\0\xd8", b"\xff{}", &[b' '; 101]] {
            assert!(decode("file", bad, 100).is_err());
        }
    }

    #[test]
    fn escaped_json_is_the_same_value() {
        let value = serde_json::json!({"tag ä": "😀 \u{1} \"", "plain": 1});
        let bytes = ascii_json("file", &value, 10).unwrap();
        assert!(bytes.is_ascii());
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&bytes).unwrap(), value);
    }

    #[test]
    fn an_error_repeats_nothing_of_the_file() {
        let error = parse::<Vec<u32>>("file", "[1, \"sesame\"]").unwrap_err();
        assert_eq!(error.in_full(), "the file has a member that is not as it should be: line 1, column 12");
        assert!(!format!("{error:?}").contains("sesame"));
    }
}
