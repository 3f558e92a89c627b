use std::path::Path;
use std::sync::Arc;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::key::{self, Key};
use crate::{Error, KEY_FILE_NAME};

const NONCE_BYTES: usize = 12;

/// Seals and opens secrets. Cheap to clone; the key is shared.
#[derive(Clone)]
pub struct Vault {
    cipher: Arc<Aes256Gcm>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault").finish_non_exhaustive()
    }
}

impl Vault {
    /// The vault under the deployment's key: `secrets.key`, else the file
    /// `secrets.key_file`, else `vault.key` in `data_dir`.
    ///
    /// # Errors
    /// When there is no key, or it is not the base64 of 32 bytes.
    pub fn from_settings(
        secrets: &platform_config::Secrets,
        data_dir: &Path,
    ) -> Result<Self, Error> {
        if let Some(text) = &secrets.key {
            return Ok(Self::new(&key::parse(text.expose(), "secrets.key")?));
        }
        if let Some(path) = secrets.key_file.as_deref() {
            return Ok(Self::new(&key::read(path)?));
        }
        let path = data_dir.join(KEY_FILE_NAME);
        if path.exists() {
            return Ok(Self::new(&key::read(&path)?));
        }
        Err(Error::NoKey { path })
    }

    /// The vault under a key given as the base64 of 32 bytes.
    ///
    /// # Errors
    /// When the text is not that.
    pub fn from_key_text(text: &str) -> Result<Self, Error> {
        Ok(Self::new(&key::parse(text, "its text")?))
    }

    fn new(key: &Key) -> Self {
        Self {
            cipher: Arc::new(Aes256Gcm::new((&**key).into())),
        }
    }

    /// Seals `plaintext` for `context` under a fresh random nonce: the same
    /// secret sealed twice gives two texts.
    ///
    /// # Errors
    /// When the cipher refuses, which it does for texts beyond 64 GiB only.
    pub fn seal(&self, plaintext: &str, context: &str) -> Result<String, Error> {
        let mut nonce = [0; NONCE_BYTES];
        rand::fill(&mut nonce);
        let payload = Payload {
            msg: plaintext.as_bytes(),
            aad: context.as_bytes(),
        };
        let ciphertext = self
            .cipher
            .encrypt(&Nonce::from(nonce), payload)
            .map_err(|_| Error::Seal {
                context: context.to_owned(),
            })?;
        let mut sealed = Vec::with_capacity(NONCE_BYTES + ciphertext.len());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&ciphertext);
        Ok(STANDARD.encode(sealed))
    }

    /// Opens what [`Vault::seal`] sealed for the same context. The plaintext is
    /// wiped from memory when dropped.
    ///
    /// # Errors
    /// When the text is not a sealed one, was altered, or was sealed under
    /// another key or for another context. Which of these is not told.
    pub fn open(&self, sealed: &str, context: &str) -> Result<Zeroizing<String>, Error> {
        let refused = || Error::Open {
            context: context.to_owned(),
        };
        let bytes = STANDARD.decode(sealed).map_err(|_| refused())?;
        let (nonce, ciphertext) = bytes
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or_else(refused)?;
        let payload = Payload {
            msg: ciphertext,
            aad: context.as_bytes(),
        };
        let plaintext = self
            .cipher
            .decrypt(&Nonce::from(*nonce), payload)
            .map_err(|_| refused())?;
        String::from_utf8(plaintext)
            .map(Zeroizing::new)
            .map_err(|error| {
                drop(Zeroizing::new(error.into_bytes()));
                refused()
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const CONTEXT: &str = "source/zapier/primary";

    fn vault() -> Vault {
        Vault::from_key_text(KEY).unwrap()
    }

    #[test]
    fn what_was_sealed_opens() {
        let sealed = vault().seal("whsec_abc", CONTEXT).unwrap();
        assert!(!sealed.contains("whsec"));
        assert_eq!(
            vault().open(&sealed, CONTEXT).unwrap().as_str(),
            "whsec_abc"
        );
    }

    #[test]
    fn every_sealing_differs() {
        let vault = vault();
        assert_ne!(
            vault.seal("same", CONTEXT).unwrap(),
            vault.seal("same", CONTEXT).unwrap()
        );
    }

    #[test]
    fn another_context_does_not_open() {
        let sealed = vault().seal("whsec_abc", CONTEXT).unwrap();
        assert!(vault().open(&sealed, "source/other/primary").is_err());
    }

    #[test]
    fn another_key_does_not_open() {
        let sealed = vault().seal("whsec_abc", CONTEXT).unwrap();
        let other = Vault::from_key_text("HxAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg=").unwrap();
        assert!(other.open(&sealed, CONTEXT).is_err());
    }

    #[test]
    fn any_altered_byte_does_not_open() {
        let sealed = STANDARD
            .decode(vault().seal("whsec_abc", CONTEXT).unwrap())
            .unwrap();
        for position in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[position] ^= 1;
            let text = STANDARD.encode(altered);
            assert!(vault().open(&text, CONTEXT).is_err(), "byte {position}");
        }
    }

    #[test]
    fn what_is_no_sealed_text_is_refused() {
        for text in ["", "AAAA", "not base64!", "AAAAAAAAAAAAAAAA"] {
            assert!(vault().open(text, CONTEXT).is_err(), "{text:?}");
        }
    }

    #[test]
    fn nothing_secret_is_shown() {
        assert_eq!(format!("{:?}", vault()), "Vault { .. }");
    }
}
