use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{Authority, Error, Issued, Request, RoleNames};

/// Which authorities the bundle names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrustedFor {
    /// The new one and those before it: what they issued is still in use.
    Overlap,
    /// The present one alone.
    PresentOnly,
}

/// A directory of certificates: `ca.pem` (the authorities that are trusted, the
/// present one first), `ca-key.pem`, and for each role `<role>.pem` and
/// `<role>-key.pem`. The directory is its owner's alone, and so is each file.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
}

impl Store {
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The bundle of authorities that are trusted.
    pub fn authorities(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    pub fn certificate(&self, role: &str) -> PathBuf {
        self.dir.join(format!("{role}.pem"))
    }

    pub fn key(&self, role: &str) -> PathBuf {
        self.dir.join(format!("{role}-key.pem"))
    }

    pub fn has_authority(&self) -> bool {
        self.authority_key().exists()
    }

    fn authority_key(&self) -> PathBuf {
        self.dir.join("ca-key.pem")
    }

    /// Makes the authority.
    ///
    /// # Errors
    /// When there is one, or the directory cannot be written.
    pub fn init(&self, valid_for: Duration) -> Result<(), Error> {
        if self.has_authority() {
            return Err(Error::AuthorityExists(self.dir.clone()));
        }
        self.new_authority(valid_for, TrustedFor::PresentOnly)
    }

    /// Replaces the authority by a new one. With [`TrustedFor::Overlap`] both
    /// are trusted until [`Store::forget_former_authorities`] is called, so
    /// that roles may be given new certificates one after another.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn new_authority(&self, valid_for: Duration, trusted: TrustedFor) -> Result<(), Error> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir)
            .map_err(|source| Error::Write {
                path: self.dir.clone(),
                source,
            })?;
        let authority = Authority::create(valid_for)?;
        let mut bundle = authority.certificate().to_owned();
        if trusted == TrustedFor::Overlap && self.authorities().exists() {
            bundle.push_str(&read(&self.authorities())?);
        }
        // The bundle first: nothing is issued by an authority nobody trusts.
        write(&self.authorities(), &bundle)?;
        write(&self.authority_key(), authority.key())
    }

    /// Trusts the present authority alone.
    ///
    /// # Errors
    /// When there is none, or the directory cannot be written.
    pub fn forget_former_authorities(&self) -> Result<(), Error> {
        let present = self.authority()?;
        write(&self.authorities(), present.certificate())
    }

    /// The authority that issues.
    ///
    /// # Errors
    /// When there is none or it does not parse.
    pub fn authority(&self) -> Result<Authority, Error> {
        if !self.has_authority() {
            return Err(Error::NoAuthority(self.dir.clone()));
        }
        let bundle = read(&self.authorities())?;
        let present = first_certificate(&bundle);
        let key = read(&self.authority_key())?;
        Authority::from_pem(present, &key).map_err(|source| Error::Authority {
            path: self.dir.clone(),
            source,
        })
    }

    /// Issues a certificate and keeps it under the role's name. The key is
    /// written first, and each file in one step; who reads both in between sees
    /// two that do not belong together and tries again.
    ///
    /// # Errors
    /// When there is no authority, or the directory cannot be written.
    pub fn issue(&self, request: &Request) -> Result<Issued, Error> {
        let issued = self.authority()?.issue(request)?;
        write(&self.key(&request.names.role), &issued.key)?;
        write(&self.certificate(&request.names.role), &issued.certificate)?;
        Ok(issued)
    }

    /// The roles that have a certificate, by name.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn roles(&self) -> Result<Vec<String>, Error> {
        let unreadable = |source| Error::Read {
            path: self.dir.clone(),
            source,
        };
        let mut roles = Vec::new();
        for entry in std::fs::read_dir(&self.dir).map_err(unreadable)? {
            let name = entry.map_err(unreadable)?.file_name();
            let role = name.to_str().and_then(|name| name.strip_suffix("-key.pem"));
            if let Some(role) = role
                && role != "ca"
                && RoleNames::new(role, "").is_ok()
            {
                roles.push(role.to_owned());
            }
        }
        roles.sort();
        Ok(roles)
    }
}

fn first_certificate(bundle: &str) -> &str {
    const END: &str = "-----END CERTIFICATE-----";
    bundle
        .find(END)
        .map_or(bundle, |at| &bundle[..at + END.len()])
}

fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}

/// Written beside and renamed: nobody reads half of it, and it is nobody else's
/// to read at any moment.
fn write(path: &Path, text: &str) -> Result<(), Error> {
    let new = path.with_extension("pem.new");
    let written = (|| {
        // What a writer that died left behind has whatever mode it has.
        let _ = std::fs::remove_file(&new);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, path)
    })();
    written.map_err(|source| Error::Write {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn request(role: &str) -> Request {
        Request::new(RoleNames::new(role, "mesh.internal").unwrap(), HOUR)
    }

    #[test]
    fn what_is_kept_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path().join("certs"));
        assert!(matches!(
            store.issue(&request("policy")),
            Err(Error::NoAuthority(_))
        ));
        store.init(HOUR).unwrap();
        assert!(matches!(store.init(HOUR), Err(Error::AuthorityExists(_))));
        store.issue(&request("policy")).unwrap();
        store.issue(&request("gateway")).unwrap();
        assert_eq!(store.roles().unwrap(), ["gateway", "policy"]);
        for entry in std::fs::read_dir(store.dir()).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{:?}", entry.file_name());
        }
    }

    #[test]
    fn a_new_authority_is_trusted_beside_the_former_until_that_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        store.init(HOUR).unwrap();
        let former = store.authority().unwrap().certificate().to_owned();
        store.new_authority(HOUR, TrustedFor::Overlap).unwrap();
        let bundle = read(&store.authorities()).unwrap();
        assert_eq!(bundle.matches("BEGIN CERTIFICATE").count(), 2);
        assert!(bundle.contains(former.trim()));
        assert!(
            !store
                .authority()
                .unwrap()
                .certificate()
                .contains(former.trim())
        );
        store.issue(&request("policy")).unwrap();
        store.forget_former_authorities().unwrap();
        let bundle = read(&store.authorities()).unwrap();
        assert_eq!(bundle.matches("BEGIN CERTIFICATE").count(), 1);
    }
}
