//! `octet bench`: its files, comparisons, and command lines of benchmark_app, on the digits model.

use serde_json::Value;

use super::Folder;

const QUICK: &str = "--threads 1 --iterations 30 --warmup 1";

fn json(folder: &Folder, name: &str) -> Value {
    serde_json::from_slice(&folder.read(name)).unwrap()
}

#[test]
fn a_page_stands_alone() {
    let folder = Folder::new("bench-page");
    let text = folder.octet_ok(&format!("bench digits.xml {QUICK} --html page.html"));
    assert!(text.contains("median"), "the text is printed beside it: {text}");
    let page = String::from_utf8(folder.read("page.html")).unwrap();
    let document = roxmltree::Document::parse(page.strip_prefix("<!DOCTYPE html>\n").unwrap()).unwrap();
    let names: Vec<&str> = document.descendants().map(|node| node.tag_name().name()).collect();
    assert!(names.iter().filter(|name| **name == "svg").count() == 2 && names.contains(&"table"));
    assert!(!page.contains("http:") && !page.contains("https:") && !page.contains("<script") && !page.contains("url("));
    assert!(page.contains("Convolution_23") && page.contains("of peak"));
}

#[test]
fn csv_has_a_row_for_each_layer() {
    let folder = Folder::new("bench-csv");
    folder.octet_ok(&format!("bench digits.xml {QUICK} --csv layers.csv --json bench.json"));
    let csv = String::from_utf8(folder.read("layers.csv")).unwrap();
    let layers = json(&folder, "bench.json")["layers"].as_array().unwrap().len();
    assert_eq!(csv.lines().count(), 1 + layers);
    assert!(
        csv.starts_with("name,original_names,status,layer_type,exec_type,precision,real_time_ms,min_time_ms,macs,")
    );
}

/// A report with latencies of its own, each a little different: those that were measured depend on what else runs.
fn with_samples(folder: &Folder, from: &str, to: &str, factor: f64) {
    let mut report = json(folder, from);
    for (i, sample) in report["samples_ns"].as_array_mut().unwrap().iter_mut().enumerate() {
        *sample = Value::from((factor * (100_000 + 37 * (i % 101)) as f64).round());
    }
    folder.write(to, report.to_string());
}

#[test]
fn comparisons_have_a_verdict_and_an_exit_code() {
    let folder = Folder::new("bench-compare");
    folder.octet_ok("bench digits.xml --threads 1 --iterations 200 --json a.json");
    with_samples(&folder, "a.json", "slow.json", 1.5);
    with_samples(&folder, "a.json", "fast.json", 0.5);
    with_samples(&folder, "a.json", "a.json", 1.0);
    let same = folder.octet_ok("bench --compare a.json a.json --json verdict.json");
    assert!(same.contains("as fast as A"), "{same}");
    assert_eq!(json(&folder, "verdict.json")["verdict"], "no difference");
    folder.octet_fails("bench --compare a.json slow.json", 1, &["slow.json", "more than 3 % slower than a.json"]);
    let within = folder.octet_ok("bench --compare a.json slow.json --threshold 60%");
    assert!(within.contains("which the threshold allows"), "{within}");
    let faster = folder.octet_ok("bench --compare a.json fast.json");
    let percent =
        faster.split("B is ").nth(1).and_then(|text| text.split_once(" % faster than A")).map(|(number, _)| number);
    let percent: f64 = percent.unwrap_or_else(|| panic!("{faster}")).parse().unwrap();
    // Samples are whole nanoseconds.
    assert!((49.9..50.1).contains(&percent), "{faster}");
}

#[test]
fn comparisons_of_what_is_no_report() {
    let folder = Folder::new("bench-no-report");
    folder.octet_ok("bench digits.xml --iterations 3 --json short.json");
    folder.write("other.json", "{}");
    folder.octet_fails("bench --compare short.json short.json", 2, &["short.json", "has 3 latencies", "--iterations"]);
    folder.octet_fails("bench --compare none.json short.json", 4, &["none.json"]);
    folder.octet_fails(
        "bench --compare short.json other.json",
        4,
        &["other.json", "no report of a benchmark", "`schema`"],
    );
    folder.octet_fails("bench --compare short.json", 2, &["2 values"]);
    folder.octet_fails("bench digits.xml --compare short.json short.json", 2, &["cannot be used with"]);
    folder.octet_fails("bench", 2, &["MODEL"]);
}

/// Each flag once, on a model that runs.
#[test]
fn flags_of_benchmark_app_run() {
    let folder = Folder::new("bench-flags");
    for flag in [
        "-d CPU",
        "-i x.npy",
        "-t 1",
        "-nthreads 2",
        "-nstreams 1",
        "-nireq 1",
        "-hint latency",
        "-hint throughput",
        "-b 2",
        "-pc",
        "-pcsort sort",
        "-pcsort no_sort",
        "-pcsort simple_sort",
        "-report_type no_counters",
        "-report_type average_counters",
        "-report_type detailed_counters -json_stats",
        "-infer_precision f32",
        "-api sync",
        "-latency_percentile 90",
        "-no_warmup",
    ] {
        folder.image(0, "x.npy");
        let text = folder.octet_ok(&format!("bench -m digits.xml -niter 5 -report_folder out {flag}"));
        let latency = if flag.contains("percentile") { "90 percentile:" } else { "Median:" };
        for expected in ["[ INFO ] Count:            5 iterations", latency, "Throughput:", " FPS"] {
            assert!(text.contains(expected), "{flag}: {text} lacks {expected:?}");
        }
        let counters = text.contains("layerType: ");
        assert_eq!(counters, flag.contains("-pc") || flag.contains("_counters") && !flag.contains("no_"), "{flag}");
    }
    let output = folder.octet("bench -m digits.xml -niter 5 -hint throughput");
    assert!(output.stderr.contains("one inference at a time"), "{}", output.stderr);
    folder.octet_fails("bench -m digits.xml -nstreams 4 -d GPU", 2, &["-nstreams 4", "must be 1", "-d GPU"]);
}

#[test]
fn reports_have_the_names_of_benchmark_app() {
    let folder = Folder::new("bench-reports");
    folder.octet_ok("bench -m digits.xml -niter 5 -report_type average_counters -report_folder out -pcsort sort");
    let statistics = String::from_utf8(folder.read("out/benchmark_report.csv")).unwrap();
    for line in [
        "Command line parameters",
        "-niter;5",
        "Configuration setup",
        "Execution results",
        "total number of iterations;5",
    ] {
        assert!(statistics.lines().any(|found| found == line), "{statistics} lacks {line:?}");
    }
    for key in
        ["latency (ms);", "avg latency;", "min latency;", "max latency;", "throughput;", "first inference time (ms);"]
    {
        assert!(statistics.lines().any(|line| line.starts_with(key)), "{statistics} lacks {key:?}");
    }
    let layers = String::from_utf8(folder.read("out/benchmark_average_counters_report.csv")).unwrap();
    assert!(layers.starts_with("layerName;execStatus;layerType;execType;realTime (ms);cpuTime (ms)"));
    assert!(layers.lines().any(|line| line.starts_with("Total;")));
    assert!(folder.file("out/benchmark_sorted_report.csv").exists());

    folder.octet_ok("bench -m digits.xml -niter 5 -report_type average_counters -report_folder json -json_stats");
    let results = &json(&folder, "json/benchmark_report.json")["execution_results"];
    assert_eq!(results["total number of iterations"], 5);
    assert!(results["latency (ms)"].as_f64().unwrap() > 0.0);
    let counters = json(&folder, "json/benchmark_average_counters_report.json");
    let nodes = counters["avg_performance"]["nodes"].as_array().unwrap();
    assert!(nodes.len() > 5 && nodes.iter().all(|node| node["real_time"].is_number()));
}
