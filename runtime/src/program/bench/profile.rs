//! Time per layer, and how far each layer is from the machine's peak.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::stretches::{Stretches, Times};
use crate::peak::{self, Peak};
use crate::program::csv;
use crate::program::decimal::Decimal;
use crate::program::error::Failure;
use crate::program::json;
use crate::program::model::{Layer, Model};
use crate::program::session::Session;
use crate::program::table::{self, Align, Column};

/// OpenVINO's word for a layer that ran; there are no others here, since the rest is compiled away.
const EXECUTED: &str = "EXECUTED";

/// The layers of some inferences, one by one.
pub struct Profile<'a> {
    rows: Vec<Row<'a>>,
    /// Sum of the rows' times.
    total_ns: u64,
    inferences: u64,
    /// Of the CPU, while the model runs.
    clock_mhz: u64,
    peaks: [Peak; peak::PRECISIONS.len()],
}

struct Row<'a> {
    layer: &'a Layer,
    times: Times,
}

impl<'a> Profile<'a> {
    /// Profiles some inferences, at most `count`, then measures the peaks on the same threads.
    pub fn measure(model: &'a Model, session: &mut Session<'a>, count: u64) -> Result<Profile<'a>, Failure> {
        let Stretches { layers, inferences, clock_mhz } = Stretches::measure(session, model.layers.len(), count)?;
        let rows: Vec<Row<'a>> = model.layers.iter().zip(layers).map(|(layer, times)| Row { layer, times }).collect();
        let total_ns = rows.iter().map(|row| row.times.median_ns).sum();
        Ok(Profile { rows, total_ns, inferences, clock_mhz, peaks: session.peaks() })
    }

    /// The part of the peak of the layer's precision that it reaches; `None` for a layer that multiplies nothing.
    fn peak_share(&self, row: &Row<'_>, places: u32) -> Option<Decimal> {
        let peak = self.peaks.iter().find(|peak| *peak.precision == *row.layer.precision)?;
        let macs = row.layer.macs.saturating_mul(1000);
        let share = Decimal::ratio(macs, row.times.median_ns.saturating_mul(peak.macs_per_us), places);
        Some(share).filter(|_| macs != 0 && row.times.median_ns != 0)
    }

    fn share(&self, row: &Row<'_>, places: u32) -> Decimal {
        Decimal::ratio(row.times.median_ns, self.total_ns, places)
    }

    pub fn text(&self) -> String {
        let left = |title, cell: &dyn Fn(&Layer) -> String, total: &str| {
            let cells = self.rows.iter().map(|row| cell(row.layer));
            Column::new(title, Align::Left, cells.chain([total.to_string()]))
        };
        let right = |title, cell: &dyn Fn(&Row<'_>) -> String, total: String| {
            Column::new(title, Align::Right, self.rows.iter().map(cell).chain([total]))
        };
        let macs = self.rows.iter().fold(0u64, |sum, row| sum.saturating_add(row.layer.macs));
        let percent = |share: Decimal| Decimal { places: share.places - 2, ..share }.to_string();
        let peak = |row: &Row<'_>| self.peak_share(row, 3).map(percent).unwrap_or_default();
        let columns = [
            left("name", &|layer| layer.name.to_string(), "total"),
            left("status", &|_| EXECUTED.to_string(), ""),
            left("layer type", &|layer| layer.layer_type.to_string(), ""),
            left("exec type", &|layer| layer.exec_type.to_string(), ""),
            left("precision", &|layer| layer.precision.to_string(), ""),
            right("real time ms", &|row| milliseconds(row.times.median_ns), milliseconds(self.total_ns)),
            right("MACs", &|row| row.layer.macs.to_string(), macs.to_string()),
            right("GMAC/s", &|row| gmac_per_s(row).to_string(), Decimal::ratio(macs, self.total_ns, 2).to_string()),
            right("share %", &|row| percent(self.share(row, 3)), percent(Decimal { units: 1000, places: 3 })),
            right("peak %", &peak, String::new()),
        ];
        let peaks: String = self.peaks.iter().map(|peak| format!("{}\n", PeakText(peak))).collect();
        format!(
            "{}\nmedians of {} inferences; peaks on the same threads:\n{peaks}",
            table::render(&columns),
            self.inferences
        )
    }

    /// A header and a line per layer, separated by commas.
    pub fn csv(&self) -> String {
        const COLUMNS: [&str; 12] = [
            "name",
            "original_names",
            "status",
            "layer_type",
            "exec_type",
            "precision",
            "real_time_ms",
            "min_time_ms",
            "macs",
            "gmac_per_s",
            "share",
            "peak_share",
        ];
        let mut text = csv::line(&COLUMNS);
        for row in &self.rows {
            let layer = row.layer;
            let numbers = [
                Decimal::milliseconds(row.times.median_ns).to_string(),
                Decimal::milliseconds(row.times.min_ns).to_string(),
                layer.macs.to_string(),
                gmac_per_s(row).to_string(),
                self.share(row, 4).to_string(),
                self.peak_share(row, 4).map(|share| share.to_string()).unwrap_or_default(),
            ];
            let names: [&str; 6] =
                [&layer.name, &layer.original_names, EXECUTED, &layer.layer_type, &layer.exec_type, &layer.precision];
            let fields: Vec<&str> = names.into_iter().chain(numbers.iter().map(String::as_str)).collect();
            text += &csv::line(&fields);
        }
        text
    }

    /// The members `profiled_inferences`, `clock_mhz`, `peak` and `layers`.
    pub fn json(&self, root: &mut json::Object<'_>) {
        root.number("profiled_inferences", self.inferences);
        root.number("clock_mhz", self.clock_mhz);
        root.object("peak", |peaks| {
            for peak in &self.peaks {
                peaks.object(peak.precision, |object| {
                    object.number("gmac_per_s", Decimal { units: peak.macs_per_us, places: 3 });
                    object.string("instructions", peak.instructions);
                });
            }
        });
        root.array("layers", |layers| {
            for row in &self.rows {
                layers.object(|object| self.layer_json(object, row));
            }
        });
    }

    fn layer_json(&self, object: &mut json::Object<'_>, row: &Row<'_>) {
        let layer = row.layer;
        object.string("name", &layer.name);
        object.string("original_names", &layer.original_names);
        object.string("status", EXECUTED);
        object.string("layer_type", &layer.layer_type);
        object.string("exec_type", &layer.exec_type);
        object.string("precision", &layer.precision);
        object.number("real_time_ms", Decimal::milliseconds(row.times.median_ns));
        object.number("min_time_ms", Decimal::milliseconds(row.times.min_ns));
        object.number("cycles", row.times.cycles);
        object.number("macs", layer.macs);
        object.number("gmac_per_s", gmac_per_s(row));
        object.number("share", self.share(row, 4));
        match self.peak_share(row, 4) {
            Some(share) => object.number("peak_share", share),
            None => object.number("peak_share", "null"),
        }
    }
}

/// Multiply-accumulates per nanosecond are 10^9 per second.
fn gmac_per_s(row: &Row<'_>) -> Decimal {
    Decimal::ratio(row.layer.macs, row.times.median_ns, 2)
}

fn milliseconds(ns: u64) -> String {
    Decimal::milliseconds(ns).round(4).to_string()
}

/// `I8    612.40 GMAC/s  vpdpbusd zmm`.
struct PeakText<'a>(&'a Peak);

impl core::fmt::Display for PeakText<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Peak { precision, instructions, macs_per_us, .. } = self.0;
        let rate = Decimal { units: *macs_per_us, places: 3 }.round(2);
        write!(f, "{precision:<16}{rate:12} GMAC/s  {instructions}")
    }
}
