//! A benchmark as one HTML page: the numbers, how the latencies are distributed and how they went over time, the layers as
//! bars against the machine's peak.
//!
//! The page stands alone: style and drawings are inside, there is no script, nothing is loaded from anywhere. It is
//! well-formed XML too, follows the reader's light or dark theme, and every text of the model goes through [`escape`].

mod charts;

use octet::emit::markup::escape;

use super::report::{Layer, Report, percentile};

/// Layers with a smaller share of the time are summed up in one bar; the table has all.
const MIN_SHARE: f64 = 0.004;

pub fn html(report: &Report) -> String {
    let title = format!("{}: benchmark", escape(&report.model));
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width\"/>\n<meta name=\"color-scheme\" content=\"light dark\"/>\n\
         <title>{title}</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>\n",
        include_str!("page/style.css")
    );
    page += &heading(report);
    page += &tiles(report);
    page += &section("Latency", "how often an inference took how long", &charts::histogram(&report.sorted_ms()));
    page += &section(
        "Over time",
        "medians of successive inferences; a flat line means that the machine was quiet",
        &charts::over_time(&report.samples_ms),
    );
    if !report.layers.is_empty() {
        page += &section("Layers", &layers_subtitle(report), &(legend(report) + &bars(report)));
        page += &table(report);
    }
    page + "</main>\n</body>\n</html>\n"
}

fn heading(report: &Report) -> String {
    let threads = if report.threads == 1 { "1 thread".to_owned() } else { format!("{} threads", report.threads) };
    format!(
        "<header><h1>{}</h1>\n<p>{threads} \u{b7} {} inferences after {} to warm up \u{b7} compiled for {} by {} \
         \u{b7} <span class=\"hash\">model {}</span></p></header>\n",
        escape(&report.model),
        report.samples_ms.len(),
        report.warmup,
        escape(&report.cpu),
        escape(&report.compiler),
        escape(&report.model_hash),
    )
}

fn tiles(report: &Report) -> String {
    let sorted = report.sorted_ms();
    let tiles = [
        ("median", milliseconds(percentile(&sorted, 50.0)), "ms"),
        ("min", milliseconds(sorted[0]), "ms"),
        ("p90", milliseconds(percentile(&sorted, 90.0)), "ms"),
        ("p99", milliseconds(percentile(&sorted, 99.0)), "ms"),
        ("first", milliseconds(report.first_ms), "ms"),
        ("throughput", format!("{:.1}", report.throughput_per_s), "/s"),
    ];
    let tile = |(name, value, unit): &(&str, String, &str)| {
        format!("<div class=\"tile\"><span>{name}</span><b>{value}</b> <i>{unit}</i></div>\n")
    };
    format!("<div class=\"tiles\">\n{}</div>\n", tiles.iter().map(tile).collect::<String>())
}

fn section(title: &str, subtitle: &str, body: &str) -> String {
    format!("<section>\n<h2>{title} <small>{}</small></h2>\n{body}</section>\n", escape(subtitle))
}

fn layers_subtitle(report: &Report) -> String {
    let macs: f64 = report.layers.iter().map(|layer| layer.macs).sum();
    format!(
        "{} steps in the order of execution, together {} ms and {:.1} million multiply-accumulates",
        report.layers.len(),
        milliseconds(report.layers_ms()),
        macs / 1e6,
    )
}

fn legend(report: &Report) -> String {
    let peak = |precision: &str| report.peaks.iter().find(|peak| peak.precision == precision);
    let keys = [("I8", "8-bit integers"), ("FP32", "float"), ("I32", "wider integers")].map(|(precision, meaning)| {
        let peak = peak(precision)
            .map(|peak| format!(", peak {:.1} GMAC/s (<code>{}</code>)", peak.gmac_per_s, escape(&peak.instructions)));
        format!("<span class=\"key {precision}\"></span>{meaning}{}", peak.unwrap_or_default())
    });
    format!("<p class=\"legend\">{}</p>\n", keys.join(" "))
}

/// A bar for each layer that matters.
fn bars(report: &Report) -> String {
    let shown: Vec<&Layer> = report.layers.iter().filter(|layer| layer.share >= MIN_SHARE).collect();
    let longest = shown.iter().map(|layer| layer.ms).fold(f64::MIN_POSITIVE, f64::max);
    let rest: Vec<&Layer> = report.layers.iter().filter(|layer| layer.share < MIN_SHARE).collect();
    let mut text = "<div class=\"bars\">\n".to_owned();
    for layer in &shown {
        text += &bar(&layer.name, &tooltip(layer), &layer.precision, layer.ms / longest, &facts(layer));
    }
    if !rest.is_empty() {
        let ms: f64 = rest.iter().map(|layer| layer.ms).sum();
        let facts = format!("{} ms \u{b7} {:.1} %", milliseconds(ms), 100.0 * ms / report.layers_ms());
        let name = format!("{} shorter steps", rest.len());
        text += &bar(&name, "each has its row in the table", "rest", (ms / longest).min(1.0), &facts);
    }
    text + "</div>\n"
}

fn bar(name: &str, tooltip: &str, class: &str, length: f64, facts: &str) -> String {
    format!(
        "<div class=\"bar\" title=\"{}\"><span class=\"name\"><bdi>{}</bdi></span><span class=\"track\">\
         <span class=\"fill {class}\" style=\"width:{:.2}%\"></span></span><span class=\"facts\">{facts}</span></div>\n",
        escape(tooltip),
        escape(name),
        100.0 * length,
    )
}

fn tooltip(layer: &Layer) -> String {
    format!("{}\n{} {}", layer.original_names.replace(',', ", "), layer.layer_type, layer.exec_type)
}

/// `0.448 ms · 7.3 % · 258 GMAC/s · 60 % of peak`.
fn facts(layer: &Layer) -> String {
    let mut text = format!("<b>{}</b> ms \u{b7} {:.1} %", milliseconds(layer.ms), 100.0 * layer.share);
    if layer.macs > 0.0 {
        text += &format!(" \u{b7} {:.1} GMAC/s", layer.gmac_per_s);
    }
    match layer.peak_share {
        Some(share) => text + &format!(" \u{b7} {:.0} % of peak", 100.0 * share),
        None => text,
    }
}

fn table(report: &Report) -> String {
    let heads = [
        "name",
        "layer type",
        "exec type",
        "precision",
        "real time ms",
        "share",
        "MACs",
        "GMAC/s",
        "of peak",
        "original names",
    ];
    let heads: String = heads.iter().map(|head| format!("<th>{head}</th>")).collect();
    let rows: String = report.layers.iter().map(table_row).collect();
    format!(
        "<details><summary>All {} steps as a table</summary>\n<div class=\"scroll\"><table>\n<thead><tr>{heads}</tr></thead>\n\
         <tbody>\n{rows}</tbody>\n</table></div></details>\n",
        report.layers.len()
    )
}

fn table_row(layer: &Layer) -> String {
    let texts = [&layer.name, &layer.layer_type, &layer.exec_type, &layer.precision];
    let texts: String = texts.iter().map(|text| format!("<td>{}</td>", escape(text))).collect();
    let numbers = [
        format!("{:.4}", layer.ms),
        format!("{:.1} %", 100.0 * layer.share),
        layer.macs.to_string(),
        format!("{:.1}", layer.gmac_per_s),
        layer.peak_share.map(|share| format!("{:.1} %", 100.0 * share)).unwrap_or_default(),
    ];
    let numbers: String = numbers.iter().map(|number| format!("<td class=\"number\">{number}</td>")).collect();
    format!("<tr>{texts}{numbers}<td>{}</td></tr>\n", escape(&layer.original_names.replace(',', ", ")))
}

/// Three digits that matter.
fn milliseconds(ms: f64) -> String {
    let places = match ms {
        100.0.. => 1,
        10.0.. => 2,
        1.0.. => 3,
        _ => 4,
    };
    format!("{ms:.places$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::report::Peak;
    use crate::cli::bench::report::tests::report;

    const HOSTILE: &str = "</a><script>alert('&')</script> \"x\"";

    fn profiled(samples: &[f64]) -> Report {
        let layer = |ms: f64, peak_share| Layer {
            name: HOSTILE.into(),
            original_names: format!("{HOSTILE},b"),
            layer_type: "Convolution".into(),
            exec_type: "conv_I8".into(),
            precision: "I8".into(),
            ms,
            min_ms: ms,
            macs: 1e6,
            gmac_per_s: 1.0 / ms,
            share: ms / 1.001,
            peak_share,
        };
        let peaks = vec![Peak { precision: "I8".into(), gmac_per_s: 100.0, instructions: "x<y".into() }];
        Report {
            model: HOSTILE.into(),
            peaks,
            layers: vec![layer(1.0, Some(0.5)), layer(0.001, None)],
            ..report(samples)
        }
    }

    fn check(report: &Report) {
        let page = html(report);
        let body = page.strip_prefix("<!DOCTYPE html>\n").unwrap();
        let document = roxmltree::Document::parse(body).unwrap_or_else(|error| panic!("{error}"));
        for node in document.descendants().filter(|node| node.is_element()) {
            assert!(!matches!(node.tag_name().name(), "script" | "link" | "img" | "iframe"), "{node:?}");
            for attribute in node.attributes() {
                assert!(!matches!(attribute.name(), "src" | "href"), "{attribute:?}");
                let drawn = matches!(attribute.name(), "x" | "y" | "width" | "height" | "points" | "style");
                let numbers = !attribute.value().contains("NaN") && !attribute.value().contains("inf");
                assert!(numbers || !drawn, "{attribute:?}");
            }
        }
        assert!(!body.contains("url(") && !body.contains("@import"), "nothing is loaded from anywhere");
        let text: String = document.descendants().filter_map(|node| node.text()).collect();
        assert!(text.contains(&report.model), "{text}");
    }

    #[test]
    fn pages_are_well_formed_and_stand_alone() {
        check(&profiled(&[1.0, 1.1, 1.2, 9.0]));
        check(&report(&[0.001; 3]));
        check(&report(&[5.0]));
        check(&profiled(&(0..5000).map(|i| 1.0 + f64::from(i % 97) / 970.0).collect::<Vec<_>>()));
    }

    #[test]
    fn short_steps_share_a_bar() {
        let page = html(&profiled(&[1.0, 1.1]));
        assert!(page.contains("1 shorter steps") && page.contains("50 % of peak") && page.contains("All 2 steps"));
        assert!(!html(&report(&[1.0])).contains("Layers"), "no profile, no layers");
    }
}
