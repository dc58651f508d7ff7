//! News of keys: what an agent says of those that it has agreed on.

/// Keys: the child that they are of, and the agent's name of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) child: String,
    pub(super) name: String,
}

/// What has become of keys: those that were agreed on, and those that are no more.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    pub(super) new: Vec<Key>,
    pub(super) old: Vec<Key>,
}
