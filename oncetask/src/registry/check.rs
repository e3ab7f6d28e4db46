//! The checks at start-up. They report all problems at once, each with its position in the source.

use std::any::TypeId;
use std::collections::{BTreeMap, HashSet};

use super::TaskType;
use crate::error::StartError;
use crate::handler::{Handler, States};

/// Checks the task types of a worker and the handlers that the program gave to the builder.
///
/// # Errors
///
/// Returns a [`StartError`] with all problems.
pub(crate) fn check(types: &[TaskType], given: &[Handler], states: &States) -> Result<(), StartError> {
    let own: Vec<_> = types.iter().filter_map(TaskType::own_handler).collect();
    let handlers = || own.iter().chain(given);
    let mut problems: Vec<_> = handlers()
        .flat_map(|handler| missing_states(handler, states))
        .collect();
    problems.extend(shared_names(types, given));
    problems.extend(second_handlers(types, given));
    problems.extend(handlers().filter_map(useless_config));
    if problems.is_empty() {
        Ok(())
    } else {
        Err(StartError { problems })
    }
}

/// Returns a problem for each state that a handler needs and the program did not set.
fn missing_states(handler: &Handler, states: &States) -> Vec<String> {
    let mut seen = HashSet::new();
    let needed = handler.needs.0.iter();
    needed
        .filter(|(id, _)| !states.contains(*id) && seen.insert(*id))
        .map(|(_, state)| {
            format!("the handler of {handler} needs a state of type `{state}`: give one to `.state(..)`")
        })
        .collect()
}

/// A task type or a handler that uses a name.
struct User {
    id: TypeId,
    text: String,
}

/// Returns a problem for each name that several task types share. The name of a stored task must identify
/// its type.
fn shared_names(types: &[TaskType], given: &[Handler]) -> Vec<String> {
    let mut users: BTreeMap<&str, Vec<User>> = BTreeMap::new();
    let mut problems = Vec::new();
    let own = types
        .iter()
        .map(|task| ((task.type_id)(), task.to_string(), task.kind, task.aliases));
    let given = given.iter().map(|handler| {
        let text = handler.to_string();
        (handler.type_id, text, handler.kind, handler.aliases)
    });
    for (id, text, kind, aliases) in own.chain(given) {
        if kind.is_empty() {
            problems.push(format!("the kind of {text} is empty"));
        }
        let aliases = aliases.iter().map(|alias| (*alias, " as an alias"));
        for (name, suffix) in std::iter::once((kind, "")).chain(aliases) {
            let users = users.entry(name).or_default();
            if users.iter().all(|user| user.id != id) {
                let text = format!("{text}{suffix}");
                users.push(User { id, text });
            }
        }
    }
    let shared = users.into_iter().filter(|(_, users)| users.len() > 1);
    problems.extend(shared.map(|(name, users)| {
        let users: Vec<_> = users.into_iter().map(|user| user.text).collect();
        format!(
            "the kind `{name}` belongs to several task types: {}; give each its own with `#[task(kind = \"..\")]`",
            users.join(", ")
        )
    }));
    problems
}

/// Returns a problem for each task type with two handlers, and for each cleanup handler of another type.
fn second_handlers(types: &[TaskType], given: &[Handler]) -> Vec<String> {
    let mut problems = Vec::new();
    for (index, handler) in given.iter().enumerate() {
        let (kind, here) = (handler.kind, handler.location);
        let own = types
            .iter()
            .find(|task| (task.type_id)() == handler.type_id && task.has_handler());
        if let Some(task) = own {
            problems.push(format!(
                "the kind `{kind}` has two handlers: its own, of {task}, and one given to `.handler(..)` ({here}); \
                 remove `#[handler]` from the type, or remove the other handler"
            ));
        }
        let mut earlier = given[..index].iter();
        if let Some(other) = earlier.find(|other| other.type_id == handler.type_id) {
            let there = other.location;
            problems.push(format!(
                "the kind `{kind}` has two handlers given to `.handler(..)`: {there} and {here}; remove one"
            ));
        }
        if let Some(cleanup) = handler.on_cancel.as_ref().filter(|cleanup| cleanup.kind != kind) {
            let other = cleanup.kind;
            problems.push(format!(
                "the handler of {handler} has a cleanup handler of another kind, `{other}`; \
                 give `.on_cancel(..)` a function that takes tasks of the kind `{kind}`"
            ));
        }
    }
    problems
}

/// Returns a problem if the configuration would never run the handler. The fields of a configuration are
/// public, so a program can write values into them that the setters refuse.
fn useless_config(handler: &Handler) -> Option<String> {
    let field = match (handler.config.concurrency, handler.config.max_group) {
        (0, _) => "concurrency",
        (_, 0) => "max_group",
        _ => return None,
    };
    Some(format!(
        "the handler of {handler} has a `{field}` of 0, and would never run; set it to at least 1"
    ))
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::client::OnceTask;
    use crate::handler::{HandlerConfig, State, deliver, is_grouped, needs};
    use crate::registry::{Handled, HandlerDefinition};
    use crate::task::TaskId;

    macro_rules! tasks {
        ($($name:ident: $kind:literal $aliases:expr;)*) => {$(
            #[derive(Serialize, Deserialize)]
            struct $name;

            impl OnceTask for $name {
                const KIND: &'static str = $kind;
                const ALIASES: &'static [&'static str] = &$aliases;

                fn id(&self) -> TaskId {
                    TaskId::new($kind)
                }
            }
        )*};
    }

    tasks! {
        Mail: "mail" [];
        OtherMail: "mail" [];
        Letter: "letter" ["mail", "letter"];
        Nameless: "" [];
        Report: "report" [];
    }

    impl Handled for Mail {
        const HANDLER: HandlerDefinition = HandlerDefinition {
            config: HandlerConfig::DEFAULT,
            grouped: is_grouped::<Self, _, _>(&mail),
            run: |delivery| deliver::<Self, _, _>(mail, delivery),
            on_cancel: None,
            needs: |needed| needs(&mail, needed),
        };
    }

    async fn mail(_: Mail, _: State<u8>, _: State<String>, _: State<u8>) {}

    fn problems(types: &[TaskType], given: &[Handler], states: &States) -> Vec<String> {
        let checked = check(types, given, states);
        checked.err().map_or_else(Vec::new, |error| error.problems)
    }

    fn states() -> States {
        let mut states = States::default();
        states.insert(1_u8);
        states.insert(String::new());
        states
    }

    const MAIL: TaskType = TaskType::handled::<Mail>("mail.rs", 3, 7);

    #[test]
    fn each_missing_state_is_reported_once_with_its_handler() {
        assert_eq!(problems(&[MAIL], &[], &states()), [""; 0]);
        let name = MAIL.type_name();
        let missing = |state| {
            format!(
                "the handler of `{name}` (mail.rs:3:7) needs a state of type `{state}`: give one to `.state(..)`"
            )
        };
        let expected = [missing("u8"), missing("alloc::string::String")];
        assert_eq!(problems(&[MAIL], &[], &States::default()), expected);
    }

    #[test]
    fn a_name_that_several_types_share_is_reported_with_all_of_them() {
        let types = [
            MAIL,
            TaskType::unhandled::<OtherMail>("other.rs", 1, 2),
            TaskType::unhandled::<Letter>("letter.rs", 4, 5),
        ];
        let [mail, other, letter] = types.map(|task| task.to_string());
        let expected = format!(
            "the kind `mail` belongs to several task types: {mail}, {other}, {letter} as an alias; \
             give each its own with `#[task(kind = \"..\")]`"
        );
        assert_eq!(problems(&types, &[], &states()), [expected]);
        assert!(other.ends_with("::OtherMail` (other.rs:1:2)"), "{other}");
    }

    #[test]
    fn a_second_handler_of_a_type_is_reported() {
        let report = || Handler::new(|_: Report| async {});
        let unhandled = TaskType::unhandled::<Report>("report.rs", 1, 1);
        assert_eq!(problems(&[unhandled], &[report()], &states()), [""; 0]);
        let twice = problems(&[unhandled], &[report(), report()], &states());
        assert_eq!(twice.len(), 1, "{twice:?}");
        assert!(
            twice[0].contains("two handlers given to `.handler(..)`: "),
            "{twice:?}"
        );
        assert!(twice[0].matches(file!()).count() == 2, "{twice:?}");
        let again = problems(&[MAIL], &[Handler::new(|_: Mail| async {})], &states());
        assert_eq!(again.len(), 1, "{again:?}");
        assert!(
            again[0].contains("(mail.rs:3:7), and one given to `.handler(..)` ("),
            "{again:?}"
        );
    }

    #[test]
    fn a_handler_whose_type_shares_its_name_is_reported() {
        let other = Handler::new(|_: OtherMail| async {});
        let found = problems(&[MAIL], &[other], &states());
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains("several task types: ") && found[0].contains("OtherMail"),
            "{found:?}"
        );
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let mut config = HandlerConfig::DEFAULT;
        config.concurrency = 0;
        let given = [
            Handler::new(|_: Nameless, _: State<Vec<u8>>| async {}).config(config),
            Handler::new(|_: Report| async {}).on_cancel(|_: Mail| async {}),
        ];
        let found = problems(&[MAIL], &given, &States::default());
        let expected = [
            "needs a state of type `u8`",
            "needs a state of type `alloc::string::String`",
            "needs a state of type `alloc::vec::Vec<u8>`",
            "is empty",
            "a cleanup handler of another kind, `mail`",
            "a `concurrency` of 0",
        ];
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found}");
        }
    }
}
