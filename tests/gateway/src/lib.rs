//! The gateway as a process of its own, spoken to over bare sockets, so that
//! what no client library would send can be sent; and a look at what of it
//! stands on the log afterwards.

mod case;
mod ground;
mod memory;
mod raw;
mod secure;
mod table;

pub use case::{Case, Expect, Kept, Sent, Step};
pub use ground::{GRACE_OVER, Ground, OTHER_SECRET, SECRET, TOKEN, body, now, sign};
pub use memory::{Growth, Memory};
pub use raw::{Request, Response, answers, exchange, read};
pub use secure::Secure;
pub use table::{Row, markdown};
