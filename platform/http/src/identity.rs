/// The client certificate a connection was made with, once the TLS layer has
/// accepted it. It is in the extensions of every request of that connection;
/// where it is missing, the client showed none.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientIdentity {
    /// The distinguished name of the subject, as RFC 4514 writes it.
    pub subject: String,
    /// SHA-256 of the whole certificate in DER.
    pub sha256: [u8; 32],
}
