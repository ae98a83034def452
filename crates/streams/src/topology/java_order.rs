//! The orders that Java's collections give, where the text of a description shows them.

use bytes::Bytes;

/// `String.hashCode`.
fn java_hash(text: &str) -> u32 {
    text.encode_utf16()
        .fold(0_u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)))
}

/// The order in which a `HashSet` of so many strings gives them out, if they were put in as they stand.
pub(crate) fn java_set_order(names: &[String]) -> Vec<String> {
    java_order(names.to_vec(), names.len(), |name| java_hash(name))
}

/// As [`java_set_order`], for Kafka's `Bytes`, in a set that once held `largest`: such a set never shrinks.
pub(crate) fn java_bytes_order(all: Vec<Bytes>, largest: usize) -> Vec<Bytes> {
    java_order(all, largest, |bytes| {
        let signed = bytes.iter().map(|byte| i32::from(byte.cast_signed()).cast_unsigned());
        signed.fold(1_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte))
    })
}

fn java_order<T>(items: Vec<T>, largest: usize, hash: impl Fn(&T) -> u32) -> Vec<T> {
    let mut buckets: usize = 16;
    while largest * 4 > buckets * 3 {
        buckets *= 2;
    }
    let mut order: Vec<(usize, T)> = items
        .into_iter()
        .map(|item| {
            let hash = hash(&item);
            let spread = (hash ^ (hash >> 16)) as usize;
            (spread & (buckets - 1), item)
        })
        .collect();
    order.sort_by_key(|(bucket, _)| *bucket);
    order.into_iter().map(|(_, item)| item).collect()
}

/// What `java.util.TreeMap` does with keys that are put in one by one, while what orders them changes in between: the
/// shape of its red-black tree decides which keys are compared, so the tree is kept as Java keeps it.
#[derive(Default)]
pub(super) struct JavaTree {
    nodes: Vec<TreeNode>,
    root: Option<usize>,
}

struct TreeNode {
    item: usize,
    left: Option<usize>,
    right: Option<usize>,
    parent: Option<usize>,
    is_red: bool,
}

impl JavaTree {
    /// Puts an item in; `compare` says how it stands to another.
    pub(super) fn insert(
        &mut self,
        item: usize,
        compare: impl Fn(usize, usize) -> std::cmp::Ordering,
    ) {
        use std::cmp::Ordering;
        let new = self.nodes.len();
        let mut at = self.root;
        let mut parent = None;
        let mut goes_left = false;
        while let Some(here) = at {
            parent = Some(here);
            match compare(item, self.nodes[here].item) {
                Ordering::Less => {
                    goes_left = true;
                    at = self.nodes[here].left;
                }
                Ordering::Greater => {
                    goes_left = false;
                    at = self.nodes[here].right;
                }
                Ordering::Equal => return,
            }
        }
        self.nodes.push(TreeNode { item, left: None, right: None, parent, is_red: true });
        match parent {
            None => self.root = Some(new),
            Some(parent) if goes_left => self.nodes[parent].left = Some(new),
            Some(parent) => self.nodes[parent].right = Some(new),
        }
        self.fix(new);
    }

    fn parent(&self, at: Option<usize>) -> Option<usize> {
        at.and_then(|at| self.nodes[at].parent)
    }

    fn left(&self, at: Option<usize>) -> Option<usize> {
        at.and_then(|at| self.nodes[at].left)
    }

    fn right(&self, at: Option<usize>) -> Option<usize> {
        at.and_then(|at| self.nodes[at].right)
    }

    fn is_red(&self, at: Option<usize>) -> bool {
        at.is_some_and(|at| self.nodes[at].is_red)
    }

    fn paint(&mut self, at: Option<usize>, is_red: bool) {
        if let Some(at) = at {
            self.nodes[at].is_red = is_red;
        }
    }

    fn fix(&mut self, new: usize) {
        let mut at = Some(new);
        while at.is_some() && at != self.root && self.is_red(self.parent(at)) {
            let parent = self.parent(at);
            let grandparent = self.parent(parent);
            let is_left = parent == self.left(grandparent);
            let uncle = if is_left { self.right(grandparent) } else { self.left(grandparent) };
            if self.is_red(uncle) {
                self.paint(parent, false);
                self.paint(uncle, false);
                self.paint(grandparent, true);
                at = grandparent;
            } else {
                if is_left && at == self.right(parent) {
                    at = parent;
                    self.rotate_left(at);
                } else if !is_left && at == self.left(parent) {
                    at = parent;
                    self.rotate_right(at);
                }
                let parent = self.parent(at);
                let grandparent = self.parent(parent);
                self.paint(parent, false);
                self.paint(grandparent, true);
                if is_left {
                    self.rotate_right(grandparent);
                } else {
                    self.rotate_left(grandparent);
                }
            }
        }
        self.paint(self.root, false);
    }

    fn replace_child(&mut self, parent: Option<usize>, child: usize, by: usize) {
        match parent {
            None => self.root = Some(by),
            Some(parent) if self.nodes[parent].left == Some(child) => {
                self.nodes[parent].left = Some(by);
            }
            Some(parent) => self.nodes[parent].right = Some(by),
        }
        self.nodes[by].parent = parent;
    }

    fn rotate_left(&mut self, at: Option<usize>) {
        let (Some(at), Some(up)) = (at, self.right(at)) else { return };
        let moved = self.nodes[up].left;
        self.nodes[at].right = moved;
        if let Some(moved) = moved {
            self.nodes[moved].parent = Some(at);
        }
        self.replace_child(self.nodes[at].parent, at, up);
        self.nodes[up].left = Some(at);
        self.nodes[at].parent = Some(up);
    }

    fn rotate_right(&mut self, at: Option<usize>) {
        let (Some(at), Some(up)) = (at, self.left(at)) else { return };
        let moved = self.nodes[up].right;
        self.nodes[at].left = moved;
        if let Some(moved) = moved {
            self.nodes[moved].parent = Some(at);
        }
        self.replace_child(self.nodes[at].parent, at, up);
        self.nodes[up].right = Some(at);
        self.nodes[at].parent = Some(up);
    }

    /// The items from the smallest to the greatest, as they were when they were put in.
    pub(super) fn in_order(&self) -> Vec<usize> {
        let mut order = Vec::with_capacity(self.nodes.len());
        let mut stack = Vec::new();
        let mut at = self.root;
        while at.is_some() || !stack.is_empty() {
            while let Some(here) = at {
                stack.push(here);
                at = self.nodes[here].left;
            }
            let here = stack.pop().expect("the loop goes on only while something is left");
            order.push(self.nodes[here].item);
            at = self.nodes[here].right;
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_strings_comes_out_as_from_java() {
        assert_eq!(java_hash("hello"), 99_162_322);
        let names = ["b".to_owned(), "a".to_owned(), "q".to_owned()];
        // 'a' is 97, bucket 1; 'q' is 113, bucket 1 too, and came later; 'b' is 98.
        assert_eq!(java_set_order(&names), ["a", "q", "b"]);
    }

    #[test]
    fn a_tree_gives_its_items_in_order() {
        let mut tree = JavaTree::default();
        for item in [5, 3, 8, 1, 4, 7, 9, 2, 6, 0, 5] {
            tree.insert(item, |one, other| one.cmp(&other));
        }
        assert_eq!(tree.in_order(), (0..10).collect::<Vec<_>>());
    }
}
