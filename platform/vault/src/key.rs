use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::Error;

/// The key file looked for in the data directory when the settings name none.
pub const KEY_FILE_NAME: &str = "vault.key";

pub(crate) const KEY_BYTES: usize = 32;

pub(crate) type Key = Zeroizing<[u8; KEY_BYTES]>;

/// Reads a key from its base64 text; `origin` is named when it is not one.
pub(crate) fn parse(text: &str, origin: &str) -> Result<Key, Error> {
    let bad = || Error::BadKey {
        origin: origin.to_owned(),
    };
    let bytes = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| bad())?);
    let mut key: Key = Zeroizing::new([0; KEY_BYTES]);
    if bytes.len() != KEY_BYTES {
        return Err(bad());
    }
    key.copy_from_slice(&bytes);
    Ok(key)
}

pub(crate) fn read(path: &Path) -> Result<Key, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::ReadKey {
        path: path.to_owned(),
        source,
    })?;
    parse(&Zeroizing::new(text), &path.display().to_string())
}

/// Makes sure that `data_dir` holds a key file only its owner may read, and
/// returns its path. A file already there is left alone, so that what was
/// sealed before still opens.
///
/// The key is written to a temporary file and linked into place: whoever finds
/// the file finds a whole key, also when two processes start at once.
///
/// # Errors
/// When the directory or the file cannot be written.
pub fn create_key_file(data_dir: &Path) -> Result<PathBuf, Error> {
    let path = data_dir.join(KEY_FILE_NAME);
    let failed = |source| Error::CreateKey {
        path: path.clone(),
        source,
    };
    if path.exists() {
        return Ok(path);
    }
    std::fs::create_dir_all(data_dir).map_err(failed)?;

    let mut key: Key = Zeroizing::new([0; KEY_BYTES]);
    rand::fill(&mut key[..]);
    let text = Zeroizing::new(STANDARD.encode(&key[..]));
    let temporary = data_dir.join(format!("{KEY_FILE_NAME}.{}.new", std::process::id()));
    let written = write_private(&temporary, &text);
    let linked = written.and_then(|()| match std::fs::hard_link(&temporary, &path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    // The temporary name has served its purpose, whichever way this went.
    let removed = std::fs::remove_file(&temporary);
    linked.and(removed).map_err(failed)?;
    Ok(path)
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_file_is_private_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = create_key_file(dir.path()).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let first = read(&path).unwrap();
        create_key_file(dir.path()).unwrap();
        assert_eq!(*first, *read(&path).unwrap());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_not_32_bytes_is_refused_without_being_shown() {
        for text in ["", "c2hvcnQ=", "not base64!"] {
            let error = parse(text, "secrets.key").unwrap_err().to_string();
            assert_eq!(
                error,
                "the vault key from secrets.key is not the base64 of 32 bytes"
            );
        }
    }
}
