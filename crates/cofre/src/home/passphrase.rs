//! Where the passphrase of a root key comes from: a file that the system's service manager or the operator names, or
//! the terminal. Never an argument or a value in the environment, which other processes can read.

use std::{
    env,
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use cofre_arm::ApiError;
use cofre_repo::Cancel;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr},
};
use zeroize::Zeroizing;

use crate::{
    exit::Exit,
    report::{Report, Result},
};

/// Longest passphrase that is read, in bytes; one more than the key vaults take, which say so.
const LIMIT: usize = 1025;
/// How often a prompt looks whether it was interrupted.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// A passphrase. Wiped, never shown.
pub(crate) type Passphrase = Zeroizing<Vec<u8>>;

/// Which passphrase is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// The one that opens the home.
    Current,
    /// The one that is to open it.
    New,
}

impl Which {
    fn credential(self) -> &'static str {
        match self {
            Self::Current => "cofre-root-passphrase",
            Self::New => "cofre-root-passphrase-new",
        }
    }

    fn variable(self) -> &'static str {
        match self {
            Self::Current => "COFRE_ROOT_PASSPHRASE_FILE",
            Self::New => "COFRE_NEW_ROOT_PASSPHRASE_FILE",
        }
    }

    /// The files that are set up for it.
    fn files(self) -> Vec<PathBuf> {
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let credential = set("CREDENTIALS_DIRECTORY").map(|folder| folder.join(self.credential()));
        // The directory may hold credentials of other purposes alone.
        credential.filter(|path| path.exists()).into_iter().chain(set(self.variable())).collect()
    }

    /// The first that is set up.
    pub(super) fn read(self) -> Result<Option<Passphrase>> {
        self.files().first().map(|path| read_file(path)).transpose()
    }
}

/// Every passphrase that a file is set up for, or why it cannot be read. While one takes the place of another, both may
/// be.
pub(super) fn all_from_files() -> impl Iterator<Item = Result<Passphrase>> {
    [Which::Current, Which::New].into_iter().flat_map(Which::files).map(|path| read_file(&path))
}

fn read_file(path: &Path) -> Result<Passphrase> {
    let read = || -> io::Result<Passphrase> {
        let mut bytes = Zeroizing::new(vec![0; LIMIT + 2]);
        let mut file = File::open(path)?;
        let mut length = 0;
        while length < bytes.len() {
            match file.read(&mut bytes[length..]) {
                Ok(0) => break,
                Ok(count) => length += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(length);
        cut_line_end(&mut bytes);
        Ok(bytes)
    };
    read().map_err(|error| Report {
        code: "SecretFileUnusable",
        exit: Exit::Usage,
        message: format!("the passphrase of the root key cannot be read from {}", path.display()),
        causes: vec![error.to_string()],
        recommendations: vec!["Check the path and its permissions.".to_owned()],
    })
}

/// A newline at the end is the editor's, not the passphrase's.
fn cut_line_end(bytes: &mut Passphrase) {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
}

/// Asks on the terminal, without echo.
pub(super) fn ask(which: Which, cancel: &Cancel) -> Result<Passphrase> {
    Terminal::open(which)?.ask("Passphrase of the root key: ", cancel)
}

/// Asks for a passphrase that is to be used from now on.
pub(super) fn ask_twice(which: Which, cancel: &Cancel) -> Result<Passphrase> {
    let mut terminal = Terminal::open(which)?;
    let passphrase = terminal.ask("New passphrase of the root key: ", cancel)?;
    let again = terminal.ask("The same once more: ", cancel)?;
    if passphrase == again {
        return Ok(passphrase);
    }
    Err(ApiError::invalid("the two passphrases differ; nothing was changed")
        .recommend("Run the command again.")
        .into())
}

/// The terminal of the process, whatever its input and output are.
struct Terminal {
    file: File,
    before: Termios,
}

impl Terminal {
    fn open(which: Which) -> Result<Self> {
        let missing = |error: io::Error| {
            Report {
            code: "PassphraseUnavailable",
            exit: Exit::Usage,
            message: "the root key is made from a passphrase, and there is no file to read it from and no terminal to ask \
                      on"
            .to_owned(),
            causes: vec![error.to_string()],
            recommendations: vec![format!(
                "Run the command on a terminal, name a file in the environment variable {}, or give the service the systemd \
                 credential {}.",
                which.variable(),
                which.credential()
            )],
        }
        };
        let file = OpenOptions::new().read(true).write(true).open("/dev/tty").map_err(missing)?;
        let before = tcgetattr(&file).map_err(|error| missing(error.into()))?;
        Ok(Self { file, before })
    }

    fn ask(&mut self, prompt: &str, cancel: &Cancel) -> Result<Passphrase> {
        let failed = |error: io::Error| Report {
            code: "PassphraseUnavailable",
            exit: Exit::Usage,
            message: "the terminal cannot be read".to_owned(),
            causes: vec![error.to_string()],
            recommendations: vec!["Name a file with the passphrase in the environment instead.".to_owned()],
        };
        let mut silent = self.before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        silent.local_modes.insert(LocalModes::ICANON | LocalModes::ISIG | LocalModes::ECHONL);
        tcsetattr(&self.file, OptionalActions::Flush, &silent).map_err(|error| failed(error.into()))?;
        let asked = self.file.write_all(prompt.as_bytes()).and_then(|()| self.read_line(cancel));
        // also when it failed: a terminal without echo is of no use
        let restored = tcsetattr(&self.file, OptionalActions::Flush, &self.before);
        let line = asked.map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => Report {
                code: "Interrupted",
                exit: Exit::Interrupted,
                message: "a signal stopped the command while it asked for the passphrase".to_owned(),
                causes: Vec::new(),
                recommendations: vec!["Run the command again.".to_owned()],
            },
            _ => failed(error),
        })?;
        restored.map_err(|error| failed(error.into()))?;
        Ok(line)
    }

    /// One line. Looks up now and then, because a signal alone would not end a read.
    fn read_line(&mut self, cancel: &Cancel) -> io::Result<Passphrase> {
        let mut line = Zeroizing::new(Vec::with_capacity(LIMIT + 2));
        let mut buffer = Zeroizing::new([0; 256]);
        loop {
            if cancel.is_cancelled() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            match poll(&mut [PollFd::new(&self.file, PollFlags::IN)], Some(&LOOK)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(error) => return Err(error.into()),
            }
            let count = match self.file.read(&mut *buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            // What is too long stays within what was allocated: nothing is copied and left behind.
            let room = (LIMIT + 2).saturating_sub(line.len());
            line.extend_from_slice(&buffer[..count.min(room)]);
            if buffer[..count].contains(&b'\n') {
                cut_line_end(&mut line);
                return Ok(line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_end_is_cut() {
        let cut = |text: &str| {
            let mut bytes = Zeroizing::new(text.as_bytes().to_vec());
            cut_line_end(&mut bytes);
            String::from_utf8(bytes.to_vec()).unwrap()
        };
        assert_eq!((cut("a b \n"), cut("a\r\n"), cut("a\n\n")), ("a b ".into(), "a".into(), "a\n".into()));
        assert_eq!(
            (cut("a"), cut(""), cut("\n"), cut("a\r")),
            ("a".into(), "".into(), "".into(), "a\r".into())
        );
    }
}
