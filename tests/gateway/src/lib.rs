//! The gateway as a process of its own, spoken to over bare sockets, so that
//! what no client library would send can be sent; and a look at what of it
//! stands on the log afterwards.

mod case;
mod ground;
mod memory;
mod raw;
mod table;

pub use case::{Case, Expect, Kept, Sent, Step};
pub use ground::{GRACE_OVER, Ground, OTHER_SECRET, SECRET, TOKEN, body, now, sign};
pub use memory::Memory;
pub use raw::{Request, Response, exchange};
pub use table::{Row, markdown};
