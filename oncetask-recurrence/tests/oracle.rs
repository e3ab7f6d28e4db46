//! A comparison with the occurrences that python-dateutil computes; see `oracle/oracle.py`.

use std::fmt::Write;

use chrono::{DateTime, NaiveDateTime, Utc};
use oncetask_recurrence::Recurrence;

const COMPACT: &str = "%Y%m%dT%H%M%S";

/// A rule and its occurrences as the oracle computed them.
struct Case<'a> {
    rule: &'a str,
    start: NaiveDateTime,
    number: usize,
    end: &'a str,
    first: &'a str,
    last: &'a str,
    digest: &'a str,
}

impl<'a> Case<'a> {
    fn read(line: &'a str) -> Self {
        let fields: Vec<_> = line.split('\t').collect();
        let [rule, start, number, end, first, last, digest, _note] = fields[..] else {
            panic!("a line of eight fields: {line}")
        };
        let start = NaiveDateTime::parse_from_str(start, COMPACT).unwrap();
        Self {
            rule,
            start,
            number: number.parse().unwrap(),
            end,
            first,
            last,
            digest,
        }
    }

    /// Returns a description of the difference from the oracle, or `None` if there is none.
    fn difference(&self) -> Option<String> {
        let recurrence = match Recurrence::new(self.rule).map(|rule| rule.starting_at(self.start)) {
            Ok(recurrence) => recurrence,
            Err(error) if self.number == 0 && error.reason() == "this rule never occurs" => return None,
            Err(error) => return Some(error.to_string()),
        };
        if self.number == 0 {
            return recurrence
                .validate()
                .is_ok()
                .then(|| "expected no occurrence".to_owned());
        }
        let mut all = recurrence.iter_after(DateTime::<Utc>::MIN_UTC);
        let found: Vec<_> = all.by_ref().take(self.number).collect();
        let texts: String = found
            .iter()
            .map(|time| time.format(COMPACT).to_string())
            .collect();
        let wrong_end = match self.end {
            "more" => all.next().is_none(),
            "end" => all.next().is_some(),
            _ => false,
        };
        (digest(&texts) != self.digest || wrong_end).then(|| {
            let mut text = format!(
                "{} of {} occurrences, expected {} to {}, {}\n",
                found.len(),
                self.number,
                self.first,
                self.last,
                self.end
            );
            for time in found.iter().take(12) {
                writeln!(text, "    {time}").unwrap();
            }
            text
        })
    }
}

fn digest(text: &str) -> String {
    let fnv = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", text.bytes().fold(0xcbf2_9ce4_8422_2325, fnv))
}

fn compare(lines: &str) {
    let cases: Vec<_> = lines
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(Case::read)
        .collect();
    let differences: Vec<_> = cases
        .iter()
        .filter_map(|case| {
            Some(format!(
                "{} from {}: {}",
                case.rule,
                case.start,
                case.difference()?
            ))
        })
        .collect();
    println!("{} rules, {} differences", cases.len(), differences.len());
    assert!(
        differences.is_empty(),
        "{}",
        differences[..differences.len().min(10)].join("\n")
    );
}

#[test]
fn occurrences_of_the_stored_rules_agree_with_dateutil() {
    compare(include_str!("oracle/dateutil.tsv"));
}

/// Reads the file that the environment variable `ORACLE` names. `oracle.py --seed fresh` writes such a file.
#[test]
fn occurrences_of_fresh_rules_agree_with_dateutil() {
    if let Ok(name) = std::env::var("ORACLE") {
        compare(&std::fs::read_to_string(name).unwrap());
    }
}
