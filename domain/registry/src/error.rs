/// Why a command about a resource is not possible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryRejection {
    /// Which tenant it is stays untold.
    #[error("the id {id} belongs to another tenant")]
    OtherTenant { id: String },
    #[error("there is no {id}")]
    NotDefined { id: String },
    #[error("{id} exists already, at version {version}")]
    Exists { id: String, version: u64 },
    #[error("{id} is at version {version}, not at {expected}")]
    OtherVersion {
        id: String,
        expected: u64,
        version: u64,
    },
    #[error("{id} was retired at version {version}")]
    Retired { id: String, version: u64 },
}
