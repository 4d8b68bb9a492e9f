//! Options of a command: `--name VALUE`, `--name=VALUE` and switches, without a parser from elsewhere.

use std::{collections::BTreeMap, error::Error, str::FromStr};

/// What was said on the command line.
#[derive(Debug, Default)]
pub(crate) struct Options {
    values: BTreeMap<String, String>,
    switches: Vec<String>,
}

impl Options {
    /// Reads `arguments`; anything that is neither in `valued` nor in `switches` is refused.
    pub(crate) fn read(
        arguments: &[String],
        valued: &[&str],
        switches: &[&str],
    ) -> Result<Self, Box<dyn Error>> {
        let mut options = Self::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let name = argument.strip_prefix("--").ok_or_else(|| format!("what is {argument:?}?"))?;
            let (name, inline) = match name.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (name, None),
            };
            if valued.contains(&name) {
                let value = inline.or_else(|| rest.next().cloned());
                let value = value.ok_or_else(|| format!("--{name} needs a value"))?;
                options.values.insert(name.to_owned(), value);
            } else if switches.contains(&name) && inline.is_none() {
                options.switches.push(name.to_owned());
            } else {
                return Err(format!("unknown option {argument:?}").into());
            }
        }
        Ok(options)
    }

    /// Whether a switch was given.
    pub(crate) fn is_set(&self, switch: &str) -> bool {
        self.switches.iter().any(|s| s == switch)
    }

    /// The text of an option.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The number of an option, or `default`.
    pub(crate) fn number<T: FromStr>(&self, name: &str, default: T) -> Result<T, Box<dyn Error>> {
        let Some(text) = self.text(name) else { return Ok(default) };
        text.parse().map_err(|_| format!("--{name}: {text:?} is no number that fits").into())
    }

    /// The words of an option, each one of `known`, in the order given; all of them if it is not given.
    pub(crate) fn list(
        &self,
        name: &str,
        known: &[&'static str],
    ) -> Result<Vec<&'static str>, Box<dyn Error>> {
        let Some(text) = self.text(name) else { return Ok(known.to_vec()) };
        let find = |word: &str| {
            let found = known.iter().find(|k| **k == word).copied();
            found.ok_or_else(|| format!("--{name}: {word:?} is none of {}", known.join(", ")).into())
        };
        text.split(',').map(find).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Options, Box<dyn Error>> {
        let arguments: Vec<String> = arguments.iter().map(|&a| a.to_owned()).collect();
        Options::read(&arguments, &["reps", "peers"], &["keep"])
    }

    #[test]
    fn options_are_read_and_others_refused() {
        let options = read(&["--reps", "5", "--peers=b,a", "--keep"]).unwrap();
        assert_eq!(options.number("reps", 3).unwrap(), 5);
        assert_eq!(options.list("peers", &["a", "b", "c"]).unwrap(), ["b", "a"]);
        assert!(options.is_set("keep"));
        assert!(options.list("peers", &["a"]).is_err());
        for bad in [&["reps"][..], &["--reps"], &["--keep=1"], &["--other"]] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
        assert!(read(&["--reps", "many"]).unwrap().number("reps", 3).is_err());
        assert_eq!(read(&[]).unwrap().number("reps", 3).unwrap(), 3);
    }
}
