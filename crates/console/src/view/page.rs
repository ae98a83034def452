//! Lists cut into pages: search, sort, page, by the server.

use afluente_httpd::problem::Problem;
use afluente_httpd::request::{Query, Request};
use serde::Serialize;
use std::cmp::Ordering;

const SIZE_DEFAULT: usize = 50;
const SIZE_MAX: usize = 500;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    pub(crate) total: usize,
    pub(crate) page: usize,
    pub(crate) size: usize,
    pub(crate) as_of: i64,
}

/// A list without pages.
#[derive(Debug, Serialize)]
pub(crate) struct Items<T> {
    pub(crate) items: Vec<T>,
}

/// What is asked of a list.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) q: String,
    pub(crate) sort: String,
    pub(crate) descending: bool,
    page: usize,
    size: usize,
}

impl Wish {
    pub(crate) fn read(request: &Request, sort_default: &str) -> Result<Self, Problem> {
        Self::of(&request.query(), sort_default)
    }

    fn of(query: &Query, sort_default: &str) -> Result<Self, Problem> {
        let sort = query.get("sort").unwrap_or(sort_default);
        Ok(Self {
            q: query.get("q").unwrap_or_default().to_lowercase(),
            sort: sort.trim_start_matches('-').to_owned(),
            descending: sort.starts_with('-'),
            page: query.parsed("page")?.unwrap_or(1).max(1),
            size: query.parsed("size")?.unwrap_or(SIZE_DEFAULT).clamp(1, SIZE_MAX),
        })
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        self.q.is_empty() || name.to_lowercase().contains(&self.q)
    }

    /// Sorts `all` by `compare`, ties by `name`, cuts the page out, and makes rows of that alone.
    pub(crate) fn cut<T, R>(
        &self,
        mut all: Vec<T>,
        as_of: i64,
        compare: impl Fn(&T, &T) -> Ordering,
        name: impl Fn(&T) -> &str,
        row: impl FnMut(T) -> R,
    ) -> Page<R> {
        all.sort_by(|one, other| {
            let order = compare(one, other);
            let order = if self.descending { order.reverse() } else { order };
            order.then_with(|| name(one).cmp(name(other)))
        });
        let total = all.len();
        let from = (self.page - 1).saturating_mul(self.size);
        let items = all.into_iter().skip(from).take(self.size).map(row).collect();
        Page { items, total, page: self.page, size: self.size, as_of }
    }

    pub(crate) fn unknown_sort(&self, known: &str) -> Problem {
        Problem::invalid("could not sort the list", format!("{:?} is none of {known}", self.sort))
            .field("sort")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_cut_out_of_what_is_sorted_with_ties_by_name() {
        let wish = Wish::of(&Query::parse("sort=-size&page=2&size=2&q=A"), "name").unwrap();
        assert!(wish.matches("xax") && !wish.matches("x"));
        let all = vec![("d", 1), ("c", 1), ("b", 1), ("a", 9), ("e", 5)];
        let page = wish.cut(all, 7, |one, other| one.1.cmp(&other.1), |one| one.0, |one| one.0);
        assert_eq!((page.items, page.total, page.page, page.as_of), (vec!["b", "c"], 5, 2, 7));
        assert!(Wish::of(&Query::parse("page=x"), "name").is_err());
    }
}
