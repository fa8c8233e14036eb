//! Command lines of OpenVINO's `benchmark_app`, so that its users can put `octet bench` in its place.
//!
//! Its flags are long words behind one dash (`-niter 100`), or, in its Python form, the long names of the same
//! (`--number_iterations`). One table says what each becomes; what octet cannot do is refused with the reason and the remedy.
//! A line without any of its flags is left alone.

use std::ffi::OsString;

use octet::diag::{Diagnostic, Kind, Place};

use crate::cli::failure::Failure;

/// What a flag becomes: words of octet's own command line, and what the user should know.
#[derive(Debug, Default, PartialEq, Eq)]
struct Meaning {
    words: Vec<String>,
    note: Option<&'static str>,
}

/// What stands behind a flag.
enum Takes {
    Value,
    /// As many words as there are up to the next flag.
    Values,
    /// Nothing, or `true` or `false`.
    Bool,
}

struct Flag {
    /// The first is the usual one.
    names: &'static [&'static str],
    takes: Takes,
    /// From the value (`true` for a bare flag) to its meaning, or why it cannot be.
    meaning: fn(&str) -> Result<Meaning, String>,
}

const fn flag(names: &'static [&'static str], takes: Takes, meaning: fn(&str) -> Result<Meaning, String>) -> Flag {
    Flag { names, takes, meaning }
}

const FLAGS: &[Flag] = &[
    flag(&["-m", "--path_to_model"], Takes::Value, |value| words(&[value])),
    flag(&["-d", "--target_device"], Takes::Value, device),
    flag(&["-i", "--paths_to_input"], Takes::Values, inputs),
    flag(&["-t", "--time"], Takes::Value, |value| option("--duration", value)),
    flag(&["-niter", "--number_iterations"], Takes::Value, iterations),
    flag(&["-nthreads", "--number_threads"], Takes::Value, threads),
    flag(&["-nstreams", "--number_streams"], Takes::Value, |value| one(value, "streams")),
    flag(&["-nireq", "--number_infer_requests"], Takes::Value, |value| one(value, "requests at a time")),
    flag(&["-hint", "--perf_hint"], Takes::Value, hint),
    flag(&["-api", "--api_type"], Takes::Value, api),
    flag(&["-b", "--batch_size"], Takes::Value, |value| option("--batch", value)),
    flag(&["-shape"], Takes::Value, shapes),
    flag(&["-data_shape"], Takes::Value, shapes),
    flag(&["-layout"], Takes::Value, |_| note("-layout changes nothing: the batch is the first dimension")),
    flag(&["-infer_precision"], Takes::Value, precision),
    flag(&["-pin", "--infer_threads_pinning"], Takes::Value, pinning),
    flag(&["-no_warmup"], Takes::Bool, |value| choose(value, "--warmup=0")),
    flag(&["-inference_only", "--inference_only"], Takes::Bool, inference_only),
    flag(&["-latency_percentile", "--latency_percentile"], Takes::Value, |value| option("--latency-percentile", value)),
    flag(&["-pc", "--perf_counts"], Takes::Bool, |value| choose(value, "--profile")),
    flag(&["-pcsort", "--perf_counts_sort"], Takes::Value, |value| option("--pcsort", value)),
    flag(&["-report_type", "--report_type"], Takes::Value, |value| option("--report-type", value)),
    flag(&["-report_folder", "--report_folder"], Takes::Value, |value| option("--report-folder", value)),
    flag(&["-json_stats", "--json_stats"], Takes::Bool, |value| choose(value, "--json-stats")),
    flag(&["-cache_dir", "-cdir", "--cache_dir"], Takes::Value, |_| {
        note("-cache_dir changes nothing: a compiled program is its own cache")
    }),
    flag(&["-lfile", "-load_from_file", "--load_from_file"], Takes::Bool, |_| Ok(Meaning::default())),
    flag(&["-exec_graph_path", "--exec_graph_path"], Takes::Value, |_| {
        Err("`octet compile MODEL --emit exec-graph -o FILE` writes the execution graph".into())
    }),
    flag(&["-ip", "--input_precision"], Takes::Value, |_| refuse_types()),
    flag(&["-op", "--output_precision"], Takes::Value, |_| refuse_types()),
    flag(&["-iop", "--input_output_precision"], Takes::Value, |_| refuse_types()),
    flag(&["-il"], Takes::Value, |_| refuse_types()),
    flag(&["-ol"], Takes::Value, |_| refuse_types()),
    flag(&["-mean_values", "--mean_values"], Takes::Value, |_| refuse_preparation()),
    flag(&["-scale_values", "--scale_values"], Takes::Value, |_| refuse_preparation()),
    flag(&["-pcseq", "--pcseq"], Takes::Bool, |_| Err("shapes are compiled in: run once for each shape".into())),
    flag(&["-max_irate", "--maximum_inference_rate"], Takes::Value, |_| {
        Err("octet measures inferences one after the other, without pauses".into())
    }),
    flag(&["-load_config", "--load_config"], Takes::Value, |_| refuse_plugin()),
    flag(&["-dump_config", "--dump_config"], Takes::Value, |_| refuse_plugin()),
    flag(&["-extensions", "--extensions"], Takes::Value, |_| refuse_plugin()),
    flag(&["-c", "--path_to_cldnn_config"], Takes::Value, |_| refuse_plugin()),
];

/// Flags with the same meaning in octet's own command line; they do not tell whose line it is.
const SHARED: &[&str] = &["-i"];

fn words(words: &[&str]) -> Result<Meaning, String> {
    Ok(Meaning { words: words.iter().map(|word| (*word).to_owned()).collect(), note: None })
}

fn option(name: &str, value: &str) -> Result<Meaning, String> {
    words(&[&format!("{name}={value}")])
}

fn note(note: &'static str) -> Result<Meaning, String> {
    Ok(Meaning { words: Vec::new(), note: Some(note) })
}

fn choose(value: &str, word: &str) -> Result<Meaning, String> {
    if boolean(value)? { words(&[word]) } else { Ok(Meaning::default()) }
}

fn boolean(value: &str) -> Result<bool, String> {
    match value.to_lowercase().as_str() {
        "yes" | "true" | "t" | "y" | "1" => Ok(true),
        "no" | "false" | "f" | "n" | "0" => Ok(false),
        _ => Err("write true or false".into()),
    }
}

fn device(value: &str) -> Result<Meaning, String> {
    if value == "CPU" {
        return Ok(Meaning::default());
    }
    Err("octet compiles for the CPU only: -d CPU".into())
}

/// `a.npy,b.npy`, or `x:a.npy,y:b.npy`; several such words are separated by line feeds.
fn inputs(value: &str) -> Result<Meaning, String> {
    let mut meaning = Meaning::default();
    for file in value.split(['\n', ',']).filter(|file| !file.is_empty()) {
        if !file.ends_with(".npy") {
            return Err(format!("octet reads inputs from .npy files, and {file} is none"));
        }
        meaning.words.push(format!("--input={}", file.replacen(':', "=", 1)));
    }
    Ok(meaning)
}

fn iterations(value: &str) -> Result<Meaning, String> {
    match value {
        "0" => Err("to compile without running, use `octet compile`".into()),
        _ => option("--iterations", value),
    }
}

/// OpenVINO reads 0 as its default.
fn threads(value: &str) -> Result<Meaning, String> {
    match value {
        "0" => Ok(Meaning::default()),
        _ => option("--threads", value),
    }
}

/// `1`, or `CPU:1`.
fn one(value: &str, what: &str) -> Result<Meaning, String> {
    if value.trim_start_matches("CPU:") == "1" {
        return Ok(Meaning::default());
    }
    Err(format!(
        "octet runs one inference at a time, so the number of {what} must be 1; for more, start several programs"
    ))
}

fn hint(value: &str) -> Result<Meaning, String> {
    match value {
        "latency" | "none" => Ok(Meaning::default()),
        "throughput" | "tput" | "cumulative_throughput" | "ctput" => note(
            "-hint throughput: octet runs one inference at a time, on all --threads, as with -hint latency; for the most \
             inferences per second, start one program with --threads 1 for each core and add up",
        ),
        _ => Err("there are latency, throughput, cumulative_throughput and none".into()),
    }
}

fn api(value: &str) -> Result<Meaning, String> {
    match value {
        "sync" => Ok(Meaning::default()),
        "async" => note("-api async: with one request at a time it is the same as sync"),
        _ => Err("there are sync and async".into()),
    }
}

/// `x[1,3,8,8],y[1,4]`.
fn shapes(value: &str) -> Result<Meaning, String> {
    let mut meaning = Meaning::default();
    for part in value.split_inclusive(']') {
        let part = part.trim_start_matches(',').trim();
        if part.is_empty() {
            continue;
        }
        match part.split_once('[') {
            Some((name, dims)) if !name.is_empty() => meaning.words.push(format!("--shape={name}=[{dims}")),
            _ => return Err("name the input: -shape x[1,3,224,224]; `octet check MODEL` knows the names".into()),
        }
    }
    Ok(meaning)
}

fn precision(value: &str) -> Result<Meaning, String> {
    match value.trim_start_matches("CPU:") {
        "f32" | "FP32" => Ok(Meaning::default()),
        _ => Err("integers where the model is quantized and f32 elsewhere is the one way octet computes".into()),
    }
}

fn pinning(value: &str) -> Result<Meaning, String> {
    match value {
        "NO" => Ok(Meaning::default()),
        "YES" => note("-pin YES: octet leaves threads to the system; use taskset"),
        _ => Err("there are YES and NO".into()),
    }
}

fn inference_only(value: &str) -> Result<Meaning, String> {
    if boolean(value)? {
        return Ok(Meaning::default());
    }
    Err("octet measures inferences only: inputs are filled before".into())
}

fn refuse_types() -> Result<Meaning, String> {
    Err("inputs and outputs of a compiled model have the types and layouts of the model".into())
}

fn refuse_preparation() -> Result<Meaning, String> {
    Err("octet adds no preprocessing: make it part of the model, or prepare the .npy files".into())
}

fn refuse_plugin() -> Result<Meaning, String> {
    Err("it belongs to OpenVINO's plugins, and octet has none".into())
}

/// A line in octet's own words, with what the user should know.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    pub words: Vec<OsString>,
    pub notes: Vec<&'static str>,
}

/// Translates a command line (the program's name first) if it is one of `bench` with flags of benchmark_app.
///
/// # Errors
/// All flags that are unknown or that octet cannot do, together.
pub fn translate(line: Vec<OsString>) -> Result<Line, Failure> {
    if line.get(1).is_none_or(|word| word != "bench") {
        return Ok(Line { words: line, notes: Vec::new() });
    }
    let theirs = |word: &OsString| {
        let name = word.to_str().map(split).unwrap_or_default().0;
        find(name).is_some() && !SHARED.contains(&name)
    };
    if !line[2..].iter().any(theirs) {
        return Ok(Line { words: line, notes: Vec::new() });
    }
    let mut rest = line.iter().skip(2).peekable();
    let mut translated = Line { words: line[..2].to_vec(), notes: Vec::new() };
    translated.words.push("--benchmark-app".into());
    let mut problems = Vec::new();
    while let Some(word) = rest.next() {
        let Some(text) = word.to_str() else {
            translated.words.push(word.clone());
            continue;
        };
        let (name, attached) = split(text);
        match find(name) {
            Some(flag) => match flag.meaning_of(name, attached, &mut rest) {
                Ok(meaning) => {
                    translated.words.extend(meaning.words.into_iter().map(OsString::from));
                    translated.notes.extend(meaning.note);
                }
                Err(problem) => problems.push(problem),
            },
            None if is_unknown(text) => problems.push(unknown(name)),
            None => translated.words.push(word.clone()),
        }
    }
    if problems.is_empty() { Ok(translated) } else { Err(Failure::Diagnostics(octet::diag::Diagnostics(problems))) }
}

/// `-name=value`.
fn split(word: &str) -> (&str, Option<&str>) {
    match word.split_once('=') {
        Some((name, value)) if word.starts_with('-') => (name, Some(value)),
        _ => (word, None),
    }
}

fn find(name: &str) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.names.contains(&name))
}

/// A long word behind one dash, which is no option of octet's.
fn is_unknown(word: &str) -> bool {
    word.len() > 2 && word.starts_with('-') && !word.starts_with("--") && word.parse::<f64>().is_err()
}

fn unknown(name: &str) -> Diagnostic {
    let mut names: Vec<&str> = FLAGS.iter().map(|flag| flag.names[0]).collect();
    names.sort_unstable();
    Diagnostic::error(Kind::Usage, Place::default(), format!("bench does not know {name}"))
        .with_help(format!("of the flags of benchmark_app it knows {}", names.join(" ")))
}

impl Flag {
    fn meaning_of<'a>(
        &self,
        name: &str,
        attached: Option<&str>,
        rest: &mut std::iter::Peekable<impl Iterator<Item = &'a OsString>>,
    ) -> Result<Meaning, Diagnostic> {
        let is_value = |word: &&&OsString| word.to_str().is_some_and(|word| !word.starts_with('-'));
        let mut next = || rest.next_if(|word| is_value(&word)).and_then(|word| word.to_str()).map(str::to_owned);
        let wrong = |problem: String| Diagnostic::error(Kind::Usage, Place::default(), problem);
        let value = match (&self.takes, attached) {
            (_, Some(value)) => Some(value.to_owned()),
            (Takes::Value, None) => next(),
            (Takes::Values, None) => {
                let values: Vec<String> = std::iter::from_fn(next).collect();
                Some(values.join("\n")).filter(|_| !values.is_empty())
            }
            (Takes::Bool, None) => {
                let value = rest.next_if(|word| word.to_str().is_some_and(|word| boolean(word).is_ok()));
                Some(value.and_then(|word| word.to_str()).unwrap_or("true").to_owned())
            }
        };
        let value = value.ok_or_else(|| wrong(format!("{name} needs a value")))?;
        (self.meaning)(&value).map_err(|reason| wrong(format!("{name} {}", value.replace('\n', " "))).with_help(reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(line: &str) -> Result<Line, String> {
        let line = translate(line.split(' ').map(OsString::from).collect());
        line.map_err(|failure| match failure {
            Failure::Diagnostics(diagnostics) => diagnostics.to_string(),
            _ => panic!("no diagnostics"),
        })
    }

    /// The words behind `octet bench --benchmark-app`.
    fn words_of(line: &str) -> String {
        let line = translated(&format!("octet bench {line}")).unwrap();
        assert_eq!(line.words[2], "--benchmark-app");
        line.words[3..].iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_flag_has_its_meaning() {
        for (line, words) in [
            ("-m a.xml", "a.xml"),
            ("--path_to_model a.xml", "a.xml"),
            ("-m a.xml -d CPU", "a.xml"),
            ("-m a.xml -i x.npy", "a.xml --input=x.npy"),
            ("-m a.xml -i x.npy y.npy -t 5", "a.xml --input=x.npy --input=y.npy --duration=5"),
            ("-m a.xml -i x:x.npy,y:y.npy", "a.xml --input=x=x.npy --input=y=y.npy"),
            ("-m a.xml -t 5", "a.xml --duration=5"),
            ("-m a.xml -niter 100", "a.xml --iterations=100"),
            ("-m=a.xml -niter=100", "a.xml --iterations=100"),
            ("-m a.xml -nthreads 2", "a.xml --threads=2"),
            ("-m a.xml -nthreads 0", "a.xml"),
            ("-m a.xml -nstreams 1 -nireq 1", "a.xml"),
            ("-m a.xml -nstreams CPU:1", "a.xml"),
            ("-m a.xml -hint latency -api sync", "a.xml"),
            ("-m a.xml -b 4", "a.xml --batch=4"),
            ("-m a.xml -shape x[1,3,8,8],y[4]", "a.xml --shape=x=[1,3,8,8] --shape=y=[4]"),
            ("-m a.xml -data_shape x[1,3,8,8]", "a.xml --shape=x=[1,3,8,8]"),
            ("-m a.xml -infer_precision f32 -pin NO", "a.xml"),
            ("-m a.xml -no_warmup", "a.xml --warmup=0"),
            ("-m a.xml -inference_only true", "a.xml"),
            ("-m a.xml -latency_percentile 90", "a.xml --latency-percentile=90"),
            ("-pc -m a.xml", "--profile a.xml"),
            ("-m a.xml -pc true", "a.xml --profile"),
            ("-m a.xml -pc false", "a.xml"),
            ("-m a.xml -pcsort sort", "a.xml --pcsort=sort"),
            ("-m a.xml -report_type average_counters", "a.xml --report-type=average_counters"),
            ("-m a.xml -report_folder out -json_stats", "a.xml --report-folder=out --json-stats"),
            ("-m a.xml -lfile", "a.xml"),
            ("-m a.xml --cpu x86-64-v3 --html p.html", "a.xml --cpu x86-64-v3 --html p.html"),
        ] {
            assert_eq!(words_of(line), words, "{line}");
            assert_eq!(translated(&format!("octet bench {line}")).unwrap().notes, [""; 0], "{line}");
        }
    }

    #[test]
    fn what_changes_nothing_is_explained() {
        for (flag, note) in [
            ("-hint throughput", "one inference at a time"),
            ("-hint tput", "one inference at a time"),
            ("-api async", "the same as sync"),
            ("-layout NCHW", "the batch is the first dimension"),
            ("-pin YES", "taskset"),
            ("-cache_dir c", "its own cache"),
        ] {
            let line = translated(&format!("octet bench -m a.xml {flag}")).unwrap();
            assert_eq!(line.notes.len(), 1, "{flag}");
            assert!(line.notes[0].contains(note), "{flag}: {:?}", line.notes);
        }
    }

    #[test]
    fn what_octet_cannot_do_is_refused_with_a_reason() {
        for (flag, reason) in [
            ("-d GPU", "octet compiles for the CPU only"),
            ("-i x.jpg", "x.jpg is none"),
            ("-niter 0", "use `octet compile`"),
            ("-niter", "-niter needs a value"),
            ("-nstreams 4", "number of streams must be 1"),
            ("-nireq 2", "number of requests at a time must be 1"),
            ("-hint fast", "there are latency, throughput"),
            ("-api both", "there are sync and async"),
            ("-shape [1,3,8,8]", "name the input"),
            ("-infer_precision bf16", "the one way octet computes"),
            ("-pin MAYBE", "there are YES and NO"),
            ("-inference_only false", "inferences only"),
            ("-exec_graph_path e.xml", "--emit exec-graph"),
            ("-ip u8", "types and layouts of the model"),
            ("-op f16", "types and layouts of the model"),
            ("-iop x:u8", "types and layouts of the model"),
            ("-il NHWC", "types and layouts of the model"),
            ("-ol NHWC", "types and layouts of the model"),
            ("-mean_values [1,2,3]", "no preprocessing"),
            ("-scale_values [1,2,3]", "no preprocessing"),
            ("-pcseq", "run once for each shape"),
            ("-max_irate 10", "without pauses"),
            ("-load_config c.json", "octet has none"),
            ("-dump_config c.json", "octet has none"),
            ("-extensions e.so", "octet has none"),
            ("-c c.xml", "octet has none"),
            ("-nonsense", "bench does not know -nonsense"),
        ] {
            let error = translated(&format!("octet bench -m a.xml {flag}")).unwrap_err();
            assert!(error.contains(reason), "{flag}: {error}");
        }
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let error = translated("octet bench -m a.xml -d GPU -nireq 2 -what").unwrap_err();
        assert_eq!(error.matches("error[").count(), 3, "{error}");
    }

    #[test]
    fn other_lines_are_left_alone() {
        for line in ["octet bench a.xml --threads 2", "octet bench a.xml -i x.npy", "octet run a.xml -m", "octet"] {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(translated(line).unwrap(), Line { words, notes: Vec::new() }, "{line}");
        }
    }
}
