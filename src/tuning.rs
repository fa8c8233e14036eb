//! Tuning files: which form of each problem was the fastest on a machine.
//!
//! ```json
//! {
//!   "octet_tuning": 1,
//!   "cpus": {
//!     "x86-64-v3": {
//!       "conv u8*i8 28x28x128 taps 3x384 strides 3840,128 | 4 ops f32 f32 -> u8": {
//!         "form": "winograd",
//!         "threads": 1,
//!         "microseconds": { "default": 141.2, "lanes 4x2 rows-outer": 176.9, "winograd": 120.4 }
//!       },
//! ```
//!
//! The first level is the CPU a version of the object is compiled for, as `--cpu` reads it; then come problems and forms
//! (`lower::choice`), sorted. The form `default` leaves the decision to the compiler. Only `form` decides; the numbers
//! are there to be read.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::diag::{self, Diagnostic, Diagnostics, Place, codes};
use crate::lower::choice::{Choices, Form};

/// Version of the file's form.
const VERSION: u64 = 1;
const VERSION_KEY: &str = "octet_tuning";
/// The form of a problem that stays as the compiler decides.
pub const DEFAULT: &str = "default";

/// What a tuning file says: for each CPU its problems.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tuning {
    /// Name of the file, if it was read from one.
    file: Option<String>,
    cpus: BTreeMap<String, BTreeMap<String, Entry>>,
}

/// What was measured of a problem, and what follows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    /// None: the compiler decides.
    pub form: Option<Form>,
    /// Threads that measured.
    pub threads: u64,
    /// Time of all layers with this problem in one inference, by the form's name.
    pub microseconds: BTreeMap<String, f64>,
}

impl Tuning {
    /// # Errors
    /// A file that cannot be read or is no tuning file of this version, and all entries that mean nothing.
    pub fn read(path: &Path) -> diag::Result<Tuning> {
        let file = path.display().to_string();
        let text = fs::read_to_string(path).map_err(|error| {
            Diagnostic::error(&codes::UNREADABLE, Place::file(&file), format!("cannot be read: {error}"))
                .with_help("`octet compile MODEL --tune FILE` writes tuning files")
        })?;
        Tuning::parse(&text, &file)
    }

    /// The same from the file's text; `file` is its name in messages.
    ///
    /// # Errors
    /// As [`Tuning::read`].
    pub fn parse(text: &str, file: &str) -> diag::Result<Tuning> {
        let wrong = |place: Place, fact: String| {
            Diagnostic::error(&codes::WRONG_TUNING, place, fact)
                .with_help("measure again with this octet: `octet compile MODEL --tune FILE`")
        };
        let value: Value = serde_json::from_str(text).map_err(|error| {
            let line = u32::try_from(error.line()).unwrap_or(u32::MAX);
            wrong(Place::line(file, line), format!("is not JSON: {error}"))
        })?;
        let version = value.get(VERSION_KEY).and_then(Value::as_u64);
        let cpus = value.get("cpus").and_then(Value::as_object);
        let (Some(version), Some(cpus)) = (version, cpus) else {
            let fact = format!("is no tuning file: it lacks `{VERSION_KEY}` or `cpus`");
            return Err(wrong(Place::file(file), fact).into());
        };
        if version != VERSION {
            let fact = format!("has version {version} of tuning files; this octet reads version {VERSION}");
            return Err(wrong(Place::file(file), fact).into());
        }
        let mut reader = Reader { file, wrong: &wrong, problems: Vec::new() };
        let cpus = cpus.iter().map(|(cpu, layers)| (cpu.clone(), reader.layers(cpu, layers))).collect();
        match reader.problems.is_empty() {
            true => Ok(Tuning { file: Some(file.to_owned()), cpus }),
            false => Err(Diagnostics(reader.problems)),
        }
    }

    /// CPUs that the file has measurements of.
    pub fn cpus(&self) -> impl Iterator<Item = &str> {
        self.cpus.keys().map(String::as_str)
    }

    pub fn has_cpu(&self, cpu: &str) -> bool {
        self.cpus.contains_key(cpu)
    }

    /// The forms that differ from the compiler's decision; none for a CPU that was not measured.
    pub fn choices(&self, cpu: &str) -> Choices {
        let entries = self.cpus.get(cpu).into_iter().flatten();
        entries.filter_map(|(problem, entry)| Some((problem.clone(), entry.form?))).collect()
    }

    /// The same forms without measurements.
    pub fn of_choices(cpu: &str, choices: Choices) -> Tuning {
        let entry = |(problem, form)| (problem, Entry { form: Some(form), ..Entry::default() });
        let cpus = BTreeMap::from([(cpu.to_owned(), choices.into_iter().map(entry).collect())]);
        Tuning { file: None, cpus }
    }

    /// Takes over what was measured for a CPU; problems that are not in `entries` stay.
    pub fn update(&mut self, cpu: &str, entries: BTreeMap<String, Entry>) {
        self.cpus.entry(cpu.to_owned()).or_default().extend(entries);
    }

    /// What is in the file.
    pub fn text(&self) -> String {
        let layers = |layers: &BTreeMap<String, Entry>| -> Map<String, Value> {
            layers.iter().map(|(problem, entry)| (problem.clone(), entry.json())).collect()
        };
        let cpus: Map<String, Value> = self.cpus.iter().map(|(cpu, all)| (cpu.clone(), layers(all).into())).collect();
        format!("{:#}\n", json!({ VERSION_KEY: VERSION, "cpus": cpus }))
    }

    /// What is wrong with the file for a compilation for `cpus`, the names of its versions: an error if it has none of them,
    /// warnings for those it lacks.
    ///
    /// # Errors
    /// A file that has nothing to say.
    pub fn check_cpus(&self, cpus: &[String]) -> diag::Result<Vec<Diagnostic>> {
        let Some(file) = &self.file else { return Ok(Vec::new()) };
        let place = || Place::file(file);
        let known: Vec<&str> = self.cpus().collect();
        let missing: Vec<&String> = cpus.iter().filter(|cpu| !self.has_cpu(cpu)).collect();
        if missing.len() == cpus.len() {
            let fact = format!("was measured for {}, not for {}", list(&known), list(cpus));
            return Err(Diagnostic::error(&codes::WRONG_TUNING, place(), fact)
                .with_help("compile for that --cpu, or measure for this one with --tune")
                .into());
        }
        let warning = |cpu: &&String| {
            Diagnostic::warning(place(), format!("has no measurements for {cpu}: octet decides by its estimates there"))
                .with_help("measure it with --tune on a machine that runs it")
        };
        Ok(missing.iter().map(warning).collect())
    }
}

fn list<T: AsRef<str>>(names: &[T]) -> String {
    match names {
        [] => "no CPU".to_owned(),
        names => names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(" | "),
    }
}

impl Entry {
    fn json(&self) -> Value {
        let form = self.form.map_or_else(|| DEFAULT.to_owned(), |form| form.to_string());
        let rounded = self.microseconds.iter().map(|(form, us)| (form.clone(), ((us * 100.0).round() / 100.0).into()));
        json!({
            "form": form,
            "threads": self.threads,
            "microseconds": rounded.collect::<Map<String, Value>>(),
        })
    }
}

/// Reads entries, and collects what is wrong with them.
struct Reader<'a> {
    file: &'a str,
    wrong: &'a dyn Fn(Place, String) -> Diagnostic,
    problems: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn layers(&mut self, cpu: &str, layers: &Value) -> BTreeMap<String, Entry> {
        let Some(layers) = layers.as_object() else {
            self.wrong(cpu, "is not an object of layers".to_owned());
            return BTreeMap::new();
        };
        layers.iter().map(|(problem, entry)| (problem.clone(), self.entry(cpu, problem, entry))).collect()
    }

    fn entry(&mut self, cpu: &str, problem: &str, value: &Value) -> Entry {
        let form = match value.get("form").and_then(Value::as_str) {
            Some(DEFAULT) => None,
            Some(form) => match form.parse() {
                Ok(form) => Some(form),
                Err(fact) => {
                    self.wrong(&format!("{cpu}: \"{problem}\""), fact);
                    None
                }
            },
            None => {
                self.wrong(&format!("{cpu}: \"{problem}\""), "names no `form`".to_owned());
                None
            }
        };
        let numbers = value.get("microseconds").and_then(Value::as_object).into_iter().flatten();
        let microseconds = numbers.filter_map(|(form, us)| Some((form.clone(), us.as_f64()?))).collect();
        Entry { form, threads: value.get("threads").and_then(Value::as_u64).unwrap_or(1), microseconds }
    }

    fn wrong(&mut self, item: &str, fact: String) {
        self.problems.push((self.wrong)(Place::file(self.file).with_item(item), fact));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuned(entries: &[(&str, Option<Form>)]) -> Tuning {
        let entry = |form| Entry { form, threads: 2, microseconds: BTreeMap::from([("default".into(), 1.25)]) };
        let mut tuning = Tuning::default();
        tuning.update("x86-64-v3", entries.iter().map(|&(problem, form)| (problem.into(), entry(form))).collect());
        tuning
    }

    #[test]
    fn what_is_written_is_read() {
        let tuning = tuned(&[("b", Some(Form::Winograd)), ("a", None)]);
        let read = Tuning::parse(&tuning.text(), "t.json");
        assert_eq!(read.map(|read| read.cpus), Ok(tuning.cpus.clone()));
        assert_eq!(tuning.choices("x86-64-v3"), Choices::from([("b".into(), Form::Winograd)]));
        assert_eq!(tuning.choices("x86-64-v2"), Choices::new());
    }

    #[test]
    fn measurements_of_other_layers_stay() {
        let mut tuning = tuned(&[("a", Some(Form::Winograd)), ("b", Some(Form::Winograd))]);
        tuning.update("x86-64-v3", BTreeMap::from([("b".into(), Entry::default())]));
        assert_eq!(tuning.choices("x86-64-v3"), Choices::from([("a".into(), Form::Winograd)]));
    }

    /// Each text, and words of each of its problems.
    #[test]
    fn wrong_files_are_told_with_all_problems() {
        let entries = r#"{"octet_tuning": 1, "cpus": {"v3": {"p": {"form": "magic"}, "q": {}, "r": {"form": "fold 2"}}, "v4": 1}}"#;
        let cases: [(&str, &[&str]); 6] = [
            ("", &["t.json:1: is not JSON"]),
            ("[]", &["is no tuning file"]),
            (r#"{"octet_tuning": 1}"#, &["is no tuning file"]),
            (r#"{"octet_tuning": 2, "cpus": {}}"#, &["has version 2"]),
            (r#"{"octet_tuning": 1, "cpus": []}"#, &["is no tuning file"]),
            (entries, &["t.json: v3: \"p\": `magic` is no form", "v3: \"q\": names no `form`", "v4: is not an object"]),
        ];
        for (text, expected) in cases {
            let problems = Tuning::parse(text, "t.json").unwrap_err();
            assert_eq!(problems.0.len(), expected.len(), "{problems}");
            for (problem, expected) in problems.0.iter().zip(expected) {
                assert!(problem.to_string().contains(expected), "{problem}");
            }
        }
    }

    #[test]
    fn a_file_must_know_one_of_the_cpus() {
        let tuning = Tuning { file: Some("t.json".into()), ..tuned(&[]) };
        let warnings = |cpus: &[&str]| {
            let cpus: Vec<String> = cpus.iter().map(|cpu| cpu.to_string()).collect();
            tuning.check_cpus(&cpus).map(|warnings| warnings.len()).map_err(|errors| errors.0.len())
        };
        assert_eq!(warnings(&["x86-64-v3"]), Ok(0));
        assert_eq!(warnings(&["x86-64-v4", "x86-64-v3", "x86-64-v2"]), Ok(2));
        assert_eq!(warnings(&["x86-64-v4", "x86-64-v2"]), Err(1));
    }
}
