//! The geometry that convolution, deconvolution and pooling share: which elements of the source a window position sees.
//!
//! Channels do not matter here, so one table serves every channel of every image. It lists, for each tap of the kernel, runs of
//! result elements in the innermost dimension whose source elements lie a constant step apart: inner loops are plain.

use std::ops::Range;

use super::view::indices;

/// Result elements `dst ..` see source elements `src, src + step, ..`, `len` of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub dst: usize,
    pub src: usize,
    pub len: usize,
}

/// One place of the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tap {
    pub runs: Vec<Run>,
    /// Result elements that see padding.
    pub padded: Vec<Range<usize>>,
}

/// Taps in row-major order of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Windows {
    pub taps: Vec<Tap>,
    pub step: usize,
}

/// One entry per spatial dimension in each.
pub(super) struct Geometry<'a> {
    pub src: &'a [usize],
    pub dst: &'a [usize],
    pub kernel: &'a [usize],
    pub strides: &'a [usize],
    pub dilations: &'a [usize],
    pub pads_begin: &'a [usize],
}

impl Geometry<'_> {
    pub(super) fn windows(&self) -> Result<Windows, String> {
        let rank = self.src.len();
        let lists = [self.dst, self.kernel, self.strides, self.dilations, self.pads_begin];
        if rank == 0 || lists.iter().any(|list| list.len() != rank) {
            return Err(format!("window geometry over {rank} spatial dimensions has lists of other lengths"));
        }
        let outer = rank - 1;
        let dst_rows: Vec<Vec<usize>> = indices(&self.dst[..outer]).collect();
        let taps = indices(self.kernel).map(|tap| {
            let mut runs = Tap::default();
            for (row, dst) in dst_rows.iter().enumerate() {
                self.row(&mut runs, &tap, dst, row * self.dst[outer]);
            }
            runs
        });
        Ok(Windows { taps: taps.collect(), step: self.strides[outer] })
    }

    /// Adds the result row that begins at `base` and has the outer coordinates `dst`.
    fn row(&self, out: &mut Tap, tap: &[usize], dst: &[usize], base: usize) {
        let outer = dst.len();
        let mut src_row = Some(0);
        for d in 0..outer {
            let at = self.source(d, dst[d], tap[d]);
            src_row = src_row.zip(at).map(|(row, at)| row * self.src[d] + at);
        }
        for x in 0..self.dst[outer] {
            match src_row.zip(self.source(outer, x, tap[outer])) {
                Some((row, at)) => out.push_source(base + x, row * self.src[outer] + at, self.strides[outer]),
                None => out.push_padded(base + x),
            }
        }
    }

    /// The source coordinate that result coordinate `dst` sees through `tap`; `None` in the padding.
    fn source(&self, d: usize, dst: usize, tap: usize) -> Option<usize> {
        let padded = dst.saturating_mul(self.strides[d]).saturating_add(tap * self.dilations[d]);
        let at = padded.checked_sub(self.pads_begin[d])?;
        (at < self.src[d]).then_some(at)
    }
}

impl Tap {
    fn push_source(&mut self, dst: usize, src: usize, step: usize) {
        match self.runs.last_mut() {
            Some(run) if run.dst + run.len == dst && run.len.saturating_mul(step).saturating_add(run.src) == src => {
                run.len += 1
            }
            Some(_) | None => self.runs.push(Run { dst, src, len: 1 }),
        }
    }

    fn push_padded(&mut self, dst: usize) {
        match self.padded.last_mut() {
            Some(range) if range.end == dst => range.end += 1,
            Some(_) | None => self.padded.push(dst..dst + 1),
        }
    }
}
