//! Every n-th pixel of a plane: the parts that a convolution falls into where its steps and its taps do not meet.
//!
//! ```text
//! deconvolution, stride s     results r + s i take the taps that reach them: a convolution for each residue r
//! convolution, dilation d     results r + d i read pixels r + d j only: a convolution without dilation for each r
//! ```
//! Both are exact by construction: each result is the same sum. The second pays where windows without dilation have a better
//! form, which is the transform of [`super::winograd`].

use crate::ir::op::ConvAttrs;

use super::Lowering;
use super::dense::Dense;
use super::elementwise::Laid;
use super::view::View;
use super::window::{Convolved, unravel};
use super::winograd::{self, Windows};

/// The pixels `residue + i * stride` of a plane.
#[derive(Clone, Debug)]
pub struct Residue {
    begin: Vec<usize>,
    lengths: Vec<usize>,
    steps: Vec<isize>,
}

impl Residue {
    /// All residues that a tensor `[n, c, spatial..]` of these sizes has pixels of, each with its numbers per spatial dimension.
    pub fn all(sizes: &[usize], strides: &[usize]) -> Vec<(Vec<usize>, Residue)> {
        let count: usize = strides.iter().product();
        let numbers = (0..count).map(|index| unravel(index, strides));
        numbers.filter_map(|at| Some((at.clone(), Residue::new(sizes, &at, strides)?))).collect()
    }

    fn new(sizes: &[usize], residues: &[usize], strides: &[usize]) -> Option<Residue> {
        let plain = sizes.len() - strides.len();
        let mut part = Residue { begin: vec![0; sizes.len()], lengths: sizes.to_vec(), steps: vec![1; sizes.len()] };
        for (d, (&residue, &stride)) in residues.iter().zip(strides).enumerate() {
            let dim = plain + d;
            if residue >= sizes[dim] {
                return None;
            }
            part.begin[dim] = residue;
            part.lengths[dim] = (sizes[dim] - residue).div_ceil(stride);
            part.steps[dim] = stride as isize;
        }
        Some(part)
    }

    /// These pixels of a view of the tensor.
    pub fn of(&self, view: &View) -> View {
        View { halo: None, ..view.sliced(&self.begin, &self.lengths, &self.steps) }
    }

    pub fn of_all(&self, laid: &Laid) -> Laid {
        Laid { loads: laid.loads.iter().map(|view| self.of(view)).collect(), dst: self.of(&laid.dst) }
    }
}

impl Lowering<'_> {
    /// A convolution with dilation, residue by residue, where that has the better form. False if it has not.
    pub fn residue_convolutions(&mut self, convolved: &Convolved, dense: &Dense) -> Result<bool, String> {
        let Some(windows) = &dense.windows else { return Ok(false) };
        let (dst, dilations) = (&convolved.laid.dst, &windows.attrs.dilations);
        let dilated = dilations.iter().any(|&dilation| dilation > 1);
        if !dilated || !winograd::is_preferred(self.width, windows.attrs, windows.weights, &dst.sizes[2..]) {
            return Ok(false);
        }
        let parts = Residue::all(&dst.sizes, dilations);
        let attrs = ConvAttrs { dilations: vec![1; dilations.len()], ..windows.attrs.clone() };
        let windows = Windows { attrs: &attrs, ..*windows };
        // the first part is the greatest; the least has been asked about
        if !parts.first().is_some_and(|(_, part)| windows.prefer_winograd(dense.mac, self.width, &part.of(dst))) {
            return Ok(false);
        }
        let macs = convolved.macs / parts.len() as u64;
        for (_, part) in &parts {
            let (src, laid) = (part.of(&convolved.src), part.of_all(&convolved.laid));
            let convolved = Convolved { src, laid, macs, ..convolved.clone() };
            self.dense_convolution(convolved, &Dense { windows: Some(windows), ..*dense })?;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use crate::ir::ElemType;
    use crate::lower::view::{Storage, row_major};

    use super::*;

    #[test]
    fn residues_have_every_pixel_once() {
        for (height, width, strides) in [(5, 4, [2, 3]), (1, 7, [2, 2]), (6, 6, [1, 1])] {
            let sizes = [2, 3, height, width];
            let view = View::dense(Storage::from_u32(0), ElemType::U8, &sizes, &row_major(4));
            let parts = Residue::all(&sizes, &strides);
            let mut offsets: Vec<i64> =
                parts.iter().flat_map(|(_, part)| part.of(&view).offsets().collect::<Vec<_>>()).collect();
            offsets.sort();
            assert!(offsets.into_iter().eq(view.offsets()), "{height}x{width} by {strides:?}");
        }
    }
}
