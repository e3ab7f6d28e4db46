//! What is found wrong before anything runs: all of it at once, each with its place in the source.

use std::any::TypeId;
use std::collections::{BTreeMap, HashSet};

use super::TaskType;
use crate::error::StartError;
use crate::handler::{Handler, Needs, States};

/// Everything that is wrong with the task types of this program.
pub(crate) fn check(types: &[TaskType], given: &[Handler], states: &States) -> Result<(), StartError> {
    let mut problems = missing_states(types, given, states);
    problems.extend(shared_names(types, given));
    problems.extend(second_handlers(types, given));
    problems.extend(given.iter().filter_map(useless_config));
    if problems.is_empty() {
        Ok(())
    } else {
        Err(StartError { problems })
    }
}

/// Every state that a handler takes has been given.
fn missing_states(types: &[TaskType], given: &[Handler], states: &States) -> Vec<String> {
    let own = types
        .iter()
        .filter_map(|task| Some((task.to_string(), vec![task.handler?.needs])));
    let given = given
        .iter()
        .map(|handler| (of_handler(handler), handler.needs.clone()));
    let mut problems = Vec::new();
    for (owner, needs) in own.chain(given) {
        let mut needed = Needs::default();
        for needs in needs {
            needs(&mut needed);
        }
        let mut seen = HashSet::new();
        let missing = needed.0.into_iter().filter(|(id, _)| !states.contains(*id));
        let missing = missing.filter(|(id, _)| seen.insert(*id));
        problems.extend(missing.map(|(_, state)| {
            format!("the handler of {owner} needs a state of type `{state}`: give one to `.state(..)`")
        }));
    }
    problems
}

/// A type that goes by a name, and how a problem names it.
struct Bearer {
    id: TypeId,
    text: String,
}

/// A name tells which type a stored task has.
fn shared_names(types: &[TaskType], given: &[Handler]) -> Vec<String> {
    let mut bearers: BTreeMap<&str, Vec<Bearer>> = BTreeMap::new();
    let mut problems = Vec::new();
    let own = types
        .iter()
        .map(|task| ((task.type_id)(), task.to_string(), task.kind, task.aliases));
    let given = given.iter().map(|handler| {
        let Handler {
            type_id,
            kind,
            aliases,
            ..
        } = *handler;
        (type_id, of_handler(handler), kind, aliases)
    });
    for (id, text, kind, aliases) in own.chain(given) {
        if kind.is_empty() {
            problems.push(format!("the kind of {text} is empty"));
        }
        let aliases = aliases.iter().map(|alias| (*alias, " as an alias"));
        for (name, how) in std::iter::once((kind, "")).chain(aliases) {
            let bearers = bearers.entry(name).or_default();
            if bearers.iter().all(|bearer| bearer.id != id) {
                let text = format!("{text}{how}");
                bearers.push(Bearer { id, text });
            }
        }
    }
    let shared = bearers.into_iter().filter(|(_, bearers)| bearers.len() > 1);
    problems.extend(shared.map(|(name, bearers)| {
        let bearers: Vec<_> = bearers.into_iter().map(|bearer| bearer.text).collect();
        format!(
            "the kind `{name}` belongs to several task types: {}; give each its own with `#[task(kind = \"..\")]`",
            bearers.join(", ")
        )
    }));
    problems
}

/// A task type has one handler, and its cleanup handler takes the same tasks.
fn second_handlers(types: &[TaskType], given: &[Handler]) -> Vec<String> {
    let mut problems = Vec::new();
    for (index, handler) in given.iter().enumerate() {
        let (kind, here) = (handler.kind, handler.location);
        let own = types
            .iter()
            .find(|task| (task.type_id)() == handler.type_id && task.handler.is_some());
        if let Some(task) = own {
            problems.push(format!(
                "the kind `{kind}` has two handlers: its own, of {task}, and one given to `.handler(..)` ({here}); \
                 remove `#[handler]` from the type, or the other"
            ));
        }
        let mut earlier = given[..index].iter();
        if let Some(other) = earlier.find(|other| other.type_id == handler.type_id) {
            let there = other.location;
            problems.push(format!(
                "the kind `{kind}` has two handlers given to `.handler(..)`: {there} and {here}; remove one"
            ));
        }
        if let Some((other, _)) = handler.cleanup.as_ref().filter(|(other, _)| *other != kind) {
            problems.push(format!(
                "the handler of {} has a cleanup handler of another kind, `{other}`",
                of_handler(handler)
            ));
        }
    }
    problems
}

/// The fields of a configuration are public: what its setters refuse can be written into them.
fn useless_config(handler: &Handler) -> Option<String> {
    let config = &handler.config;
    let what = match (config.concurrency, config.max_group) {
        (0, _) => "a concurrency",
        (_, 0) => "a `max_group`",
        _ => return None,
    };
    Some(format!(
        "the handler of {} has {what} of 0, and would never run",
        of_handler(handler)
    ))
}

fn of_handler(handler: &Handler) -> String {
    format!("`{}` ({})", handler.type_name, handler.location)
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::handler::{HandlerConfig, State, deliver, is_grouped, needs};
    use crate::registry::{Handled, HandlerDefinition};
    use crate::task::{OnceTask, TaskId};

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
    fn each_missing_state_is_named_once_with_the_handler_that_takes_it() {
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
    fn a_name_of_two_types_is_named_with_both() {
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
    fn a_handler_given_to_the_builder_is_the_only_one_of_its_type() {
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
    fn a_handler_of_a_type_that_takes_the_name_of_another_is_refused() {
        let other = Handler::new(|_: OtherMail| async {});
        let found = problems(&[MAIL], &[other], &states());
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains("several task types: ") && found[0].contains("OtherMail"),
            "{found:?}"
        );
    }

    #[test]
    fn all_problems_are_found_at_once() {
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
            "a concurrency of 0",
        ];
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found}");
        }
    }
}
