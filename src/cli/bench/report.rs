//! What a program's `bench --json` wrote, read back.

use std::fs;
use std::path::Path;

use octet::diag::{Diagnostic, Kind, Place};
use serde_json::{Map, Value};

use crate::cli::failure::Failure;

/// Version of the JSON that is read here.
const SCHEMA: u64 = 1;

#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub model: String,
    pub model_hash: String,
    pub compiler: String,
    /// What the code was compiled for.
    pub cpu: String,
    pub threads: u64,
    pub warmup: u64,
    pub elapsed_ms: f64,
    pub first_ms: f64,
    pub throughput_per_s: f64,
    /// Without a profile none.
    pub peaks: Vec<Peak>,
    pub layers: Vec<Layer>,
    /// Milliseconds of each measured inference, in order; never empty.
    pub samples_ms: Vec<f64>,
}

/// What the machine can do at best.
#[derive(Clone, Debug, PartialEq)]
pub struct Peak {
    pub precision: String,
    pub gmac_per_s: f64,
    pub instructions: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    pub name: String,
    pub original_names: String,
    pub layer_type: String,
    pub exec_type: String,
    pub precision: String,
    pub ms: f64,
    pub min_ms: f64,
    pub macs: f64,
    pub gmac_per_s: f64,
    /// Of the time of all layers.
    pub share: f64,
    /// Of the peak of its precision.
    pub peak_share: Option<f64>,
}

impl Report {
    /// # Errors
    /// A file that cannot be read or is no report; the message names what is missing in it.
    pub fn read(path: &Path) -> Result<Report, Failure> {
        let text = fs::read_to_string(path).map_err(|error| Failure::io(path, "be read", &error))?;
        Report::parse(&text).map_err(|problem| {
            let place = Place::file(path.display().to_string());
            Diagnostic::error(Kind::Io, place, format!("no report of a benchmark: {problem}"))
                .with_help("`octet bench MODEL --json FILE` and `PROGRAM bench --json FILE` write them")
                .into()
        })
    }

    fn parse(text: &str) -> Result<Report, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let root = Members { path: String::new(), of: value.as_object().ok_or("it is not an object")? };
        let schema = root.number("schema")?;
        if schema != SCHEMA as f64 {
            return Err(format!("its schema is {schema}, this octet reads {SCHEMA}"));
        }
        let samples = root.array("samples_ns")?.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>();
        let samples = samples.filter(|samples| !samples.is_empty()).ok_or("`samples_ns` is no list of numbers")?;
        Ok(Report {
            model: root.string("model")?,
            model_hash: root.string("model_hash")?,
            compiler: root.string("compiler")?,
            cpu: root.string("cpu")?,
            threads: root.number("threads")? as u64,
            warmup: root.number("warmup")? as u64,
            elapsed_ms: root.number("elapsed_ms")?,
            first_ms: root.number("first_inference_ms")?,
            throughput_per_s: root.number("throughput_per_s")?,
            peaks: peaks(&root)?,
            layers: layers(&root)?,
            samples_ms: samples.into_iter().map(|ns| ns / 1e6).collect(),
        })
    }

    /// The samples in order of size.
    pub fn sorted_ms(&self) -> Vec<f64> {
        let mut sorted = self.samples_ms.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    pub fn mean_ms(&self) -> f64 {
        self.samples_ms.iter().sum::<f64>() / self.samples_ms.len() as f64
    }

    /// Time of all layers.
    pub fn layers_ms(&self) -> f64 {
        self.layers.iter().map(|layer| layer.ms).sum()
    }
}

/// The percentile of sorted samples by nearest rank: the smallest one that at least `p` per cent do not exceed.
pub fn percentile(sorted: &[f64], p: f64) -> f64 {
    let rank = (p / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

fn peaks(root: &Members<'_>) -> Result<Vec<Peak>, String> {
    let Some(peaks) = root.of.get("peak").and_then(Value::as_object) else { return Ok(Vec::new()) };
    let peak = |(precision, value): (&String, &Value)| {
        let members = Members::inside(format!("peak.{precision}."), value)?;
        Ok(Peak {
            precision: precision.clone(),
            gmac_per_s: members.number("gmac_per_s")?,
            instructions: members.string("instructions")?,
        })
    };
    peaks.iter().map(peak).collect()
}

fn layers(root: &Members<'_>) -> Result<Vec<Layer>, String> {
    let layer = |(index, value): (usize, &Value)| {
        let members = Members::inside(format!("layers[{index}]."), value)?;
        Ok(Layer {
            name: members.string("name")?,
            original_names: members.string("original_names")?,
            layer_type: members.string("layer_type")?,
            exec_type: members.string("exec_type")?,
            precision: members.string("precision")?,
            ms: members.number("real_time_ms")?,
            min_ms: members.number("min_time_ms")?,
            macs: members.number("macs")?,
            gmac_per_s: members.number("gmac_per_s")?,
            share: members.number("share")?,
            peak_share: members.of.get("peak_share").and_then(Value::as_f64),
        })
    };
    root.array("layers")?.iter().enumerate().map(layer).collect()
}

/// An object with its place in the file, for messages.
struct Members<'a> {
    path: String,
    of: &'a Map<String, Value>,
}

impl<'a> Members<'a> {
    fn inside(path: String, value: &'a Value) -> Result<Members<'a>, String> {
        match value.as_object() {
            Some(of) => Ok(Members { path, of }),
            None => Err(format!("`{}` is not an object", path.trim_end_matches('.'))),
        }
    }

    fn wrong(&self, key: &str, what: &str) -> String {
        format!("`{}{key}` is missing or no {what}", self.path)
    }

    fn number(&self, key: &str) -> Result<f64, String> {
        self.of.get(key).and_then(Value::as_f64).ok_or_else(|| self.wrong(key, "number"))
    }

    fn string(&self, key: &str) -> Result<String, String> {
        self.of.get(key).and_then(Value::as_str).map(str::to_owned).ok_or_else(|| self.wrong(key, "text"))
    }

    fn array(&self, key: &str) -> Result<&'a Vec<Value>, String> {
        self.of.get(key).and_then(Value::as_array).ok_or_else(|| self.wrong(key, "list"))
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A report of these latencies, without a profile.
    pub fn report(samples_ms: &[f64]) -> Report {
        Report {
            model: "net".into(),
            model_hash: "00".into(),
            compiler: "octet".into(),
            cpu: "any".into(),
            threads: 1,
            warmup: 10,
            elapsed_ms: samples_ms.iter().sum(),
            first_ms: samples_ms[0],
            throughput_per_s: 1e3 * samples_ms.len() as f64 / samples_ms.iter().sum::<f64>(),
            peaks: Vec::new(),
            layers: Vec::new(),
            samples_ms: samples_ms.to_vec(),
        }
    }

    #[test]
    fn what_is_no_report_is_told() {
        let whole = r#"{"schema":1,"model":"m","model_hash":"h","compiler":"c","cpu":"p","threads":1,"warmup":2,
            "elapsed_ms":3.5,"first_inference_ms":1,"throughput_per_s":2,"layers":[{"name":"a"}],"samples_ns":[1000000,2]}"#;
        for (text, problem) in [
            ("", "EOF while parsing"),
            ("[]", "it is not an object"),
            ("{}", "`schema` is missing or no number"),
            (r#"{"schema":2}"#, "its schema is 2, this octet reads 1"),
            (&whole.replace("[1000000,2]", "[]"), "`samples_ns` is no list of numbers"),
            (&whole.replace("\"m\"", "7"), "`model` is missing or no text"),
            (whole, "`layers[0].original_names` is missing or no text"),
        ] {
            let error = Report::parse(text).unwrap_err();
            assert!(error.starts_with(problem), "{error}");
        }
        let report = Report::parse(&whole.replace(r#"{"name":"a"}"#, "")).unwrap();
        assert_eq!((report.samples_ms, report.layers.len(), report.peaks.len()), (vec![1.0, 2e-6], 0, 0));
    }

    #[test]
    fn percentiles_are_samples() {
        let sorted: Vec<f64> = (1..=10).map(f64::from).collect();
        let of = |p| percentile(&sorted, p);
        assert_eq!([of(1.0), of(50.0), of(51.0), of(99.0), of(100.0)], [1.0, 5.0, 6.0, 10.0, 10.0]);
    }
}
