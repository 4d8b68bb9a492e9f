//! Writes the plaintext of an encrypted disk to standard output.
//!
//! ```text
//! fdecat IMAGE --key-file FILE [--header FILE]
//! ```

use std::{
    env,
    error::Error,
    fs,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use cofre_fde::{FileSource, Limits, ReadAt as _, luks};
use zeroize::Zeroizing;

const USAGE: &str = "usage: fdecat IMAGE --key-file FILE [--header FILE]";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut cause = Some(&*error as &dyn Error);
            while let Some(error) = cause {
                eprintln!("fdecat: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let (mut image, mut key_file, mut header) = (None, None, None);
    let mut arguments = env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        let target = match argument.to_str() {
            Some("--key-file") => &mut key_file,
            Some("--header") => &mut header,
            _ => {
                image = Some(PathBuf::from(argument));
                continue;
            }
        };
        *target = Some(PathBuf::from(arguments.next().ok_or(USAGE)?));
    }
    let image = image.ok_or(USAGE)?;
    let secret = Zeroizing::new(fs::read(key_file.ok_or(USAGE)?)?);

    let data = FileSource::open(&image)?;
    let header = FileSource::open(header.as_ref().unwrap_or(&image))?;
    let view = luks::unlock(&header, &secret, &Limits::default())?.view(data)?;

    let mut output = io::stdout().lock();
    let mut buffer = Zeroizing::new(vec![0; 1 << 20]);
    let mut offset = 0;
    while offset < view.size() {
        let length = usize::try_from(view.size() - offset)?.min(buffer.len());
        view.read_exact_at(&mut buffer[..length], offset)?;
        output.write_all(&buffer[..length])?;
        offset += length as u64;
    }
    output.flush()?;
    Ok(())
}
