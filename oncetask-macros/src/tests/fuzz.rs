//! A fuzz test with mutated token streams. The derive never panics or hangs, and an expansion without an error is
//! valid Rust.
//!
//! `FUZZ_INPUTS=1000000 cargo test --release -p oncetask-macros fuzz` runs more inputs, and `FUZZ_SEED=2` runs others.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr as _;

use fastrand::Rng;
use proc_macro2::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};
use syn::DeriveInput;

use crate::ast::Task;
use crate::expand::derive;

const SEEDS: [&str; 4] = [
    include_str!("../../expansions/every_attribute.rs"),
    include_str!("../../expansions/marked_fields.rs"),
    include_str!("../../expansions/functions.rs"),
    include_str!("../../expansions/at_start.rs"),
];

#[rustfmt::skip]
const WORDS: [&str; 58] = [
    "task", "id", "resource_key", "run_at", "recurrence", "handler", "kind", "alias", "crate", "content", "hash",
    "with", "run", "on_cancel", "retry", "on_cancel_retry", "lease", "concurrency", "max_group", "exponential", "fixed",
    "never", "unlimited", "max_attempts", "base", "max", "factor", "delay", "jitter", "full", "none", "tz",
    "dtstart", "exdates", "rdates", "missed", "all", "one", "skip", "gap", "shift", "overlap", "first", "both",
    "at_start", "Self", "self", "super", "async", "move", "struct", "where", "dyn", "_", "LEASE", "Option",
    "timeout", "größe",
];

#[rustfmt::skip]
const TEXTS: [&str; 30] = [
    "", "{", "}", "{}", "task:{to}", "{to}:{subject:hash}", "a{{b}}{to:?}", "{r#type}{lines:raw}", "/{0}", "{to",
    "15m", "1h30m", "0s", "99999999999999999999d", "1.5h", "ä", "\u{0}", "FREQ=DAILY", "FREQ=SECONDLY;INTERVAL=7",
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;COUNT=1000000", "FREQ=MINUTELY;BYHOUR=3;BYSECOND=1,2,3;UNTIL=99991231",
    "FREQ=MONTHLY;BYDAY=-1FR;BYSETPOS=-1;INTERVAL=999", "RRULE:FREQ=HOURLY", "Europe/Paris", "Europe/Pariss", "UTC",
    "2026-01-05T09:00:00", "2026-03-29T02:30:00", "9999-12-31T23:59:59", "-262143-01-01T00:00:00Z",
];

const LITERALS: [&str; 14] = [
    "0",
    "1",
    "7u32",
    "4294967296",
    "340282366920938463463374607431768211456",
    "1.5",
    "1e400",
    "0.5f32",
    "'a'",
    "b\"x\"",
    "b'x'",
    "c\"x\"",
    "r#\"{to}\"#",
    "true",
];

#[test]
fn no_token_stream_makes_the_derive_panic_or_hang() {
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (inputs, seed) = (number("FUZZ_INPUTS", 20_000), number("FUZZ_SEED", 1));
    let seeds = SEEDS.map(|seed| TokenStream::from_str(seed).unwrap());
    let mut rng = Rng::with_seed(seed);
    let [mut parsed, mut accepted] = [0, 0];
    for _ in 0..inputs {
        let seed = rng.choice(&seeds).unwrap().clone();
        let tokens = mutated(&mut rng, seed);
        let text = tokens.to_string();
        let outcome = catch_unwind(AssertUnwindSafe(|| expand(tokens)));
        match outcome.unwrap_or_else(|_| panic!("the derive panicked on: {text}")) {
            Outcome::Unparsed => {}
            Outcome::Rejected => parsed += 1,
            Outcome::Accepted => [parsed, accepted] = [parsed + 1, accepted + 1],
        }
    }
    // Mutations that are too wild test only the parser of Rust. Mutations that are too tame test nothing.
    assert!(parsed > inputs / 4, "only {parsed} of {inputs} are structs");
    assert!(accepted > inputs / 100, "only {accepted} of {inputs} are tasks");
    assert!(
        accepted < parsed * 3 / 4,
        "{accepted} of {parsed} structs are tasks, so too few inputs have a mistake"
    );
}

enum Outcome {
    /// Not a struct, an enum or a union.
    Unparsed,
    /// The derive reports errors.
    Rejected,
    /// The derive generates code.
    Accepted,
}

fn expand(tokens: TokenStream) -> Outcome {
    let Ok(input) = syn::parse2::<DeriveInput>(tokens) else {
        return Outcome::Unparsed;
    };
    if has_nameless_field(&input) {
        return Outcome::Unparsed;
    }
    let accepted = Task::parse(&input).is_ok();
    let file = syn::parse2::<syn::File>(derive(&input));
    assert!(!accepted || file.is_ok(), "not Rust: {:?}", file.err());
    if accepted {
        Outcome::Accepted
    } else {
        Outcome::Rejected
    }
}

/// Returns whether a field is named `_`, which `syn` accepts and the compiler rejects.
fn has_nameless_field(input: &DeriveInput) -> bool {
    let syn::Data::Struct(data) = &input.data else {
        return false;
    };
    data.fields
        .iter()
        .any(|field| field.ident.as_ref().is_some_and(|name| name == "_"))
}

fn mutated(rng: &mut Rng, tokens: TokenStream) -> TokenStream {
    let mut tokens: Vec<_> = tokens.into_iter().collect();
    for _ in 0..=rng.usize(0..3) {
        mutate(rng, &mut tokens, 0);
    }
    tokens.into_iter().collect()
}

/// Changes the tokens at one point, most often inside a group, because the attributes are in groups.
fn mutate(rng: &mut Rng, tokens: &mut Vec<TokenTree>, depth: usize) {
    let groups: Vec<_> = (0..tokens.len())
        .filter(|at| matches!(tokens[*at], TokenTree::Group(_)))
        .collect();
    if let Some(&at) = rng.choice(&groups)
        && (depth < 2 && rng.u8(0..20) > 0 || rng.bool())
        && let TokenTree::Group(group) = &tokens[at]
    {
        let mut inner: Vec<_> = group.stream().into_iter().collect();
        mutate(rng, &mut inner, depth + 1);
        tokens[at] = Group::new(group.delimiter(), inner.into_iter().collect()).into();
        return;
    }
    let [at, other] = [(); 2].map(|()| rng.usize(0..tokens.len().max(1)));
    match rng.u8(0..6) {
        _ if tokens.is_empty() => tokens.push(token(rng, depth)),
        0 => drop(tokens.remove(at)),
        1 => tokens.insert(at, tokens[other].clone()),
        2 => tokens.swap(at, other),
        3 => tokens.insert(at, token(rng, depth)),
        4 => tokens[at] = token(rng, depth),
        _ => tokens[at] = similar(rng, &tokens[at]),
    }
}

/// Returns another token of the same sort.
fn similar(rng: &mut Rng, token: &TokenTree) -> TokenTree {
    match token {
        TokenTree::Ident(_) => word(rng).into(),
        TokenTree::Punct(_) => punct(rng).into(),
        TokenTree::Literal(_) => literal(rng).into(),
        TokenTree::Group(group) => Group::new(delimiter(rng), group.stream()).into(),
    }
}

/// Returns a random token or group.
fn token(rng: &mut Rng, depth: usize) -> TokenTree {
    match rng.u8(0..7) {
        0 | 1 => word(rng).into(),
        2 | 3 => literal(rng).into(),
        4 | 5 => punct(rng).into(),
        _ => {
            let tokens = if depth > 4 { 0 } else { rng.usize(0..4) };
            let inner = (0..tokens).map(|_| token(rng, depth + 1)).collect();
            Group::new(delimiter(rng), inner).into()
        }
    }
}

fn word(rng: &mut Rng) -> Ident {
    let word = rng.choice(WORDS).unwrap();
    Ident::new(word, Span::call_site())
}

fn punct(rng: &mut Rng) -> Punct {
    let spacing = if rng.bool() {
        Spacing::Alone
    } else {
        Spacing::Joint
    };
    Punct::new(
        char::from(*rng.choice(b",,,===::&|#!.;?$<>-+*").unwrap()),
        spacing,
    )
}

fn delimiter(rng: &mut Rng) -> Delimiter {
    let all = [
        Delimiter::Parenthesis,
        Delimiter::Brace,
        Delimiter::Bracket,
        Delimiter::None,
    ];
    rng.choice(all).unwrap()
}

fn literal(rng: &mut Rng) -> Literal {
    if rng.u8(0..3) == 0 {
        return Literal::from_str(rng.choice(LITERALS).unwrap()).unwrap_or_else(|_| Literal::u8_suffixed(0));
    }
    let mut text: Vec<char> = rng.choice(TEXTS).unwrap().chars().collect();
    for _ in 0..rng.usize(0..3) {
        let at = rng.usize(0..=text.len());
        match rng.u8(0..3) {
            0 => text.insert(at, rng.char(..)),
            1 => text.insert(at, char::from(*rng.choice(b"{}:=;,0123456789-/%#").unwrap())),
            _ => text.truncate(at),
        }
    }
    Literal::string(&text.into_iter().collect::<String>())
}
