//! The screens, one module each.

pub(crate) mod about;
pub(crate) mod alerts;
pub(crate) mod cluster;
pub(crate) mod configs;
pub(crate) mod groups;
pub(crate) mod live;
pub(crate) mod messages;
pub(crate) mod overview;
pub(crate) mod page;
pub(crate) mod panels;
pub(crate) mod topics;
