//! What operators do with records, one kind a file.

pub(crate) mod aggregate;
pub(crate) mod ends;
pub(crate) mod foreign_key_join;
pub(crate) mod getter;
pub(crate) mod session_aggregate;
pub(crate) mod sliding_aggregate;
pub(crate) mod stateless;
pub(crate) mod stream_join;
pub(crate) mod stream_table_join;
pub(crate) mod suppress;
pub(crate) mod table_aggregate;
pub(crate) mod table_join;
pub(crate) mod table_source;
pub(crate) mod table_stateless;
pub(crate) mod window_aggregate;
