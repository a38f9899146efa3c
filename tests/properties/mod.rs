//! Property tests: any input from outside gets a response or a rejection, and breaks nothing. They run a
//! few hundred cases here, and many more in `tests/slow/properties`.

mod frames;
mod node_messages;
mod raw_requests;
mod usernames;

use proptest::{collection::vec, prelude::*, test_runner::TestRunner};
use tokio::{runtime::Handle, task::block_in_place};

pub use crate::support::proptest_cases;

/// Checks an async property with many values, and shrinks a failing value.
fn check_async_property<T: std::fmt::Debug>(
    values: impl Strategy<Value = T>,
    mut holds: impl AsyncFnMut(T) -> Result<(), TestCaseError>,
) {
    let handle = Handle::current();
    let holds = std::cell::RefCell::new(&mut holds);
    block_in_place(|| {
        let mut runner = TestRunner::new(ProptestConfig {
            cases: proptest_cases(),
            failure_persistence: None,
            // A property that fails by a timeout waits for the timeout in each shrinking step.
            max_shrink_time: 30_000,
            ..ProptestConfig::default()
        });
        let tried = runner.run(&values, |value| {
            handle.block_on((*holds.borrow_mut())(value))
        });
        tried.unwrap();
    });
}

/// A change of a text at an index, modulo its length.
#[derive(Debug, Clone)]
pub enum Mutation {
    Replace(usize, char),
    Insert(usize, char),
    Remove(usize),
    Truncate(usize),
    Swap(usize, usize),
    Repeat(usize),
}

impl Mutation {
    pub fn apply(&self, text: &str) -> String {
        let mut chars: Vec<char> = text.chars().collect();
        let length = chars.len().max(1);
        match *self {
            _ if chars.is_empty() => {}
            Self::Replace(at, c) => chars[at % length] = c,
            Self::Insert(at, c) => chars.insert(at % length, c),
            Self::Remove(at) => drop(chars.remove(at % length)),
            Self::Truncate(at) => chars.truncate(at % length),
            Self::Swap(one, other) => chars.swap(one % length, other % length),
            Self::Repeat(at) => chars.extend_from_within(at % length..),
        }
        chars.into_iter().collect()
    }
}

/// Generates one to three mutations, mostly with these letters.
pub fn mutations_strategy(letters: &str) -> impl Strategy<Value = Vec<Mutation>> + use<> {
    let letters: Vec<char> = letters.chars().collect();
    let letter = prop_oneof![8 => proptest::sample::select(letters), 1 => any::<char>()].boxed();
    let at = 0..4_096usize;
    let mutation = prop_oneof![
        4 => (at.clone(), letter.clone()).prop_map(|(at, c)| Mutation::Replace(at, c)),
        2 => (at.clone(), letter).prop_map(|(at, c)| Mutation::Insert(at, c)),
        2 => at.clone().prop_map(Mutation::Remove),
        1 => at.clone().prop_map(Mutation::Truncate),
        1 => (at.clone(), at.clone()).prop_map(|(one, other)| Mutation::Swap(one, other)),
        1 => at.prop_map(Mutation::Repeat),
    ];
    vec(mutation, 1..4)
}

/// Generates one of the texts, mutated or unchanged.
pub fn mutated_strategy(
    texts: Vec<String>,
    letters: &str,
) -> impl Strategy<Value = String> + use<> {
    let changes = prop_oneof![4 => mutations_strategy(letters), 1 => Just(Vec::new())];
    (proptest::sample::select(texts), changes).prop_map(|(text, changes)| {
        let changes = changes.iter();
        changes.fold(text, |text, change| change.apply(&text))
    })
}
