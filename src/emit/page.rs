//! A report as one HTML page: coverage, the graph with precision by colour, what is in float and why, a table of all.
//!
//! The page stands alone: style and drawing are inside, there is no script, nothing is loaded from anywhere; details open
//! by links to themselves (`:target`). It follows the reader's choice of light or dark. It is well-formed XML too. Every
//! text of the model goes through [`escape`].

mod drawing;
mod layout;

use super::markup::escape;
use super::report::{Report, Row};
use crate::codegen::object::Sizes;
use crate::lower::program::Program;

/// Classes of rows, in the order of the legend.
const CLASSES: [(&str, &str); 4] =
    [("I8", "8-bit integers"), ("I32", "wider integers"), ("FP32", "float"), ("move", "moves data only")];

/// The page of a report about `program`. `sizes` are those of its object, if it was made.
pub fn html(report: &Report<'_>, program: &Program, sizes: Option<&Sizes>) -> String {
    let name = escape(report.model);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <title>{name}: precision of every layer</title>\n<style>\n{}</style>\n</head>\n<body>\n{}{}{}\
         <section><h2>Graph</h2>\n<p class=\"hint\">Point at a box for its layers and kernel, click for details. The figure \
         and the line at its foot are its share of the multiply-accumulates.</p>\n<div class=\"canvas\">\n{}</div></section>\n\
         {}{}{}</body>\n</html>\n",
        include_str!("page/style.css"),
        head(report, program, sizes),
        coverage(report),
        islands(report),
        drawing::svg(report, program),
        table(report),
        details(report),
        "<footer>written by octet</footer>\n",
    )
}

/// Class that gives a row its colour.
fn class(row: &Row<'_>) -> &'static str {
    match row.precision {
        _ if row.moves_only => "move",
        precision => precision,
    }
}

/// The name, what goes in and out, and the figures.
fn head(report: &Report<'_>, program: &Program, sizes: Option<&Sizes>) -> String {
    let ports = program.inputs.iter().map(|port| ("in", port)).chain(program.outputs.iter().map(|port| ("out", port)));
    let ports: String = ports
        .map(|(side, port)| {
            format!("<li><b>{side}</b> {} <code>{}</code></li>", escape(&port.name), escape(&port.ty.to_string()))
        })
        .collect();
    let share = match report.int8_share() {
        Some(share) => format!("{share:.2}<small> %</small>"),
        None => "\u{2013}".to_owned(),
    };
    let constants: usize = program.constants.values().map(Vec::len).sum();
    let mut cards = vec![
        card("wide", "of multiply-accumulates in INT8", &share),
        card("", "multiply-accumulates", &with_unit(megas(report.macs().1))),
        card("", "layers after fusion", &report.rows.len().to_string()),
        card("", "constants", &with_unit(bytes(sizes.map_or(constants, |sizes| sizes.constant_bytes)))),
        card("", "workspace", &with_unit(bytes(program.workspace_bytes))),
    ];
    if let Some(sizes) = sizes {
        cards.push(card("", "code", &with_unit(bytes(sizes.code_bytes))));
        cards.push(card("", "stack", &with_unit(bytes(sizes.stack_bytes))));
    }
    format!(
        "<header><h1>{}</h1><ul class=\"ports\">{ports}</ul></header>\n<div class=\"cards\">{}</div>\n",
        escape(report.model),
        cards.concat()
    )
}

fn card(class: &str, label: &str, value: &str) -> String {
    format!("<div class=\"card {class}\"><div class=\"value\">{value}</div><div class=\"label\">{label}</div></div>")
}

/// `4.09 G` with its unit in small letters.
fn with_unit(text: String) -> String {
    match text.split_once(' ') {
        Some((number, unit)) => format!("{number}<small> {unit}</small>"),
        None => text,
    }
}

/// The work of every layer in the order of the program as a ribbon, and the meaning of the colours.
fn coverage(report: &Report<'_>) -> String {
    let all = report.macs().1;
    let cells = report.rows.iter().enumerate().filter(|(_, row)| row.macs != 0).map(|(index, row)| {
        let share = 100.0 * row.macs as f64 / all as f64;
        format!(
            "<a class=\"{}\" href=\"#d{index}\" style=\"flex-grow:{share:.4}\" title=\"{}: {share:.2} %\"></a>",
            class(row),
            escape(&row.label.layer)
        )
    });
    let ribbon = match all {
        0 => "<p>The model has no multiply-accumulates.</p>".to_owned(),
        _ => format!("<div class=\"ribbon\">{}</div>", cells.collect::<String>()),
    };
    let legend = CLASSES.iter().filter_map(|(name, meaning)| {
        let rows = report.rows.iter().filter(|row| class(row) == *name);
        let (count, macs) = rows.fold((0, 0), |(count, macs), row| (count + 1, macs + row.macs));
        let share = if macs == 0 { String::new() } else { format!(", {:.2} %", 100.0 * macs as f64 / all as f64) };
        (count != 0).then(|| {
            let layers = if count == 1 { "layer" } else { "layers" };
            format!("<li><i class=\"{name}\"></i>{meaning} <span>{count} {layers}{share}</span></li>")
        })
    });
    let legend: String = legend.collect();
    format!(
        "<section><h2>Where the work is</h2>\n<p class=\"hint\">Each piece is a layer that multiplies, in the order they run; \
         its length is its share.</p>\n{ribbon}\n<ul class=\"legend\">{legend}</ul></section>\n"
    )
}

/// What multiplies in float, then what else computes in float for a reason.
fn islands(report: &Report<'_>) -> String {
    let all = report.macs().1;
    let mut rows: Vec<(usize, &Row<'_>)> =
        report.rows.iter().enumerate().filter(|(_, row)| class(row) == "FP32").collect();
    if rows.is_empty() {
        return "<section><h2>In float</h2>\n<p class=\"good\">Nothing: every layer computes in integers.</p></section>\n".into();
    }
    // The heaviest first; of equal ones in the order they run.
    rows.sort_by_key(|(_, row)| std::cmp::Reverse(row.macs));
    let body: String = rows.iter().map(|(index, row)| {
        let share = if row.macs == 0 { String::new() } else { format!("{:.2} %", 100.0 * row.macs as f64 / all as f64) };
        format!(
            "<tr><td><a href=\"#d{index}\" title=\"{0}\">{0}</a></td><td class=\"number\">{1}</td><td>{2}</td><td class=\"number\">{share}</td><td>{3}</td></tr>\n",
            escape(&row.label.layer),
            line(row),
            escape(&row.label.layer_type),
            escape(row.reason.unwrap_or("computes on values in float")),
        )
    }).collect();
    format!(
        "<section><h2>In float, and why</h2>\n<div class=\"scroll short\"><table class=\"islands\">\n<thead><tr><th>layer</th>\
         <th class=\"number\">line</th><th>type</th><th class=\"number\">MACs</th><th>reason</th></tr></thead>\n\
         <tbody>\n{body}</tbody>\n</table></div></section>\n"
    )
}

fn line(row: &Row<'_>) -> String {
    row.line.map(|line| line.to_string()).unwrap_or_default()
}

fn table(report: &Report<'_>) -> String {
    let all = report.macs().1;
    let rows: String = report.rows.iter().enumerate().map(|(index, row)| table_row(index, row, all)).collect();
    format!(
        "<section><h2>All layers</h2>\n<div class=\"scroll\"><table class=\"layers\">\n<thead><tr><th>layer</th>\
         <th class=\"number\">line</th><th>type</th><th>precision</th><th>kernel</th><th class=\"number\">MACs</th>\
         <th class=\"number\">share</th><th>reason</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div></section>\n"
    )
}

/// `all` are the multiply-accumulates of the model.
fn table_row(index: usize, row: &Row<'_>, all: u64) -> String {
    let (macs, share) = match row.macs {
        0 => (String::new(), String::new()),
        macs => (macs.to_string(), format!("{:.2} %", 100.0 * macs as f64 / all as f64)),
    };
    format!(
        "<tr id=\"r{index}\"><td title=\"{}\"><a href=\"#d{index}\">{}</a></td><td class=\"number\">{}</td><td>{}</td>\
         <td><span class=\"tag {}\">{}</span></td><td>{}</td><td class=\"number\">{macs}</td>\
         <td class=\"number\">{share}</td><td>{}</td></tr>\n",
        escape(&row.label.layers.join(", ")),
        escape(&row.label.layer),
        line(row),
        escape(&row.label.layer_type),
        class(row),
        row.precision,
        escape(&row.kernel),
        escape(row.reason.unwrap_or_default()),
    )
}

/// A panel for every row, of which the one that was asked for is shown.
fn details(report: &Report<'_>) -> String {
    report.rows.iter().enumerate().map(|(index, row)| detail(index, row, report.rows.len())).collect()
}

fn detail(index: usize, row: &Row<'_>, rows: usize) -> String {
    let layers: String = row.label.layers.iter().map(|layer| format!("<li>{}</li>", escape(layer))).collect();
    let field = |name: &str, value: String| match value.is_empty() {
        true => String::new(),
        false => format!("<dt>{name}</dt><dd>{value}</dd>"),
    };
    let macs = if row.macs == 0 { String::new() } else { format!("{} ({})", row.macs, megas(row.macs)) };
    let step = |target: Option<usize>, text: &str| match target.filter(|&target| target < rows) {
        Some(target) => format!("<a href=\"#d{target}\">{text}</a>"),
        None => format!("<span>{text}</span>"),
    };
    format!(
        "<aside id=\"d{index}\" class=\"detail {}\"><a class=\"close\" href=\"#_\" title=\"close\">\u{d7}</a><h3>{}</h3>\
         <p class=\"name\">{}</p><dl>{}{}{}{}{}</dl><p class=\"steps\">{} {} <a href=\"#r{index}\">in the table</a></p></aside>\n",
        class(row),
        escape(&row.label.layer_type),
        escape(&row.label.layer),
        field("precision", row.precision.to_owned()),
        field("kernel", escape(&row.kernel)) + &field("form", row.form()),
        field("multiplies", macs),
        field("line in the XML", line(row)),
        field("in float because", escape(row.reason.unwrap_or_default()))
            + &field("computes", format!("<ul>{layers}</ul>")),
        step(index.checked_sub(1), "\u{2190} before"),
        step(Some(index + 1), "after \u{2192}"),
    )
}

/// `4.09 G`, `12.3 M`, `512`: three digits and a unit of thousands.
fn megas(count: u64) -> String {
    scaled(count as f64, &["", "K", "M", "G", "T"])
}

fn bytes(count: usize) -> String {
    scaled(count as f64, &["B", "KB", "MB", "GB", "TB"])
}

fn scaled(mut count: f64, units: &[&str]) -> String {
    let mut unit = 0;
    while count >= 999.5 && unit + 1 < units.len() {
        count /= 1000.0;
        unit += 1;
    }
    let digits = if unit == 0 || count >= 99.95 {
        0
    } else if count >= 9.995 {
        1
    } else {
        2
    };
    format!("{count:.digits$} {}", units[unit]).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let rows = [
            (0, "0"),
            (999, "999"),
            (1_000, "1.00 K"),
            (9_996, "10.0 K"),
            (4_089_184_256, "4.09 G"),
            (999_600, "1.00 M"),
        ];
        for (count, text) in rows {
            assert_eq!(megas(count), text);
        }
        assert_eq!(bytes(1_605_632), "1.61 MB");
    }
}
