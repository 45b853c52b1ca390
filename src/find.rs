//! Where something runs: a vulnerability, or a package, in bills of materials by the thousand. Pure, but for [`ask`], which gets the documents.
//!
//! The question on the day of a log4shell is asked of everything that runs. So most documents are passed by unread: what is
//! looked for has a name, and a document without that name in its bytes does not hold it (see [`needles`]). The answer also
//! names the images that nobody has looked into: without that, "not found" would mean nothing.

mod answer;
mod ask;
mod excerpt;
mod needles;
mod query;
mod range;
mod running;
mod search;
mod table;

pub use answer::{Answer, Found, Hit, Known, NotSearched};
pub use ask::ask;
pub use query::{PackageQuery, Query, QueryError};
pub use range::{Range, RangeError};
pub use running::{Running, running};
pub use search::{Looked, Search};
pub use table::render as table;
