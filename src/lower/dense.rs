//! Convolutions over channels and products with constants: the forms such a layer can take.
//!
//! - [`super::winograd`], where the weights allow it;
//! - [`super::tiles`], where the target has tile registers;
//! - [`super::lanes`], always.

use std::collections::BTreeMap;

use super::Lowering;
use super::choice::Form;
use super::kernel::Mac;
use super::lanes::{self, Lanes};
use super::pack::{Group, Weights};
use super::problem;
use super::tiles::TilePlan;
use super::window::Convolved;
use super::winograd::Windows;

/// What is multiplied and added for each output pixel and channel.
pub struct Dense<'a> {
    pub mac: Mac,
    pub groups: &'a [Group],
    pub weights: Weights<'a>,
    /// The same as windows, of a convolution.
    pub windows: Option<Windows<'a>>,
}

impl Lowering<'_> {
    /// The steps of a dense or grouped convolution, or of a product with constants.
    pub fn dense_convolution(&mut self, convolved: Convolved, dense: &Dense) -> Result<(), String> {
        let Dense { mac, groups, weights, .. } = *dense;
        let dims = convolved.dims();
        let row = dims.sizes.last().copied().unwrap_or(1);
        let mut lanes = Lanes {
            mac,
            width: self.width,
            groups,
            weights,
            init: convolved.init.clone(),
            row,
            loops: dims.with_rows(lanes::ROW_PIXELS),
            packed: BTreeMap::new(),
        };
        let mut plan = match (mac, weights) {
            (Mac::U8I8Dot | Mac::U8I8, Weights::Int(_)) => self.tile_plan(&convolved, groups),
            _ => None,
        };
        let forms = self.dense_forms(&convolved, dense, plan.as_ref(), &mut lanes);
        let problem = problem::dense(&convolved, mac, groups);
        self.decide(problem, &forms, |lowering, form| match (form, &mut plan, &dense.windows) {
            (Form::Winograd, _, Some(windows)) => lowering.winograd(convolved.clone(), windows),
            (Form::Tiles(_) | Form::Overlapped(_) | Form::Band(_), Some(plan), _) => {
                let Weights::Int(rows) = weights else { return Err("internal error: float weights in tiles".into()) };
                lowering.tile_convolution(convolved.clone(), plan, form, groups, rows)
            }
            (Form::Lanes(tiling), ..) => lowering.lane_convolution(convolved.clone(), &mut lanes, tiling, 1),
            (Form::Copies(tiling, copies), ..) => {
                lowering.lane_convolution(convolved.clone(), &mut lanes, tiling, copies)
            }
            _ => Err(format!("internal error: a dense convolution as {form}")),
        })
    }

    /// The preferred form, and the others.
    fn dense_forms(
        &self,
        convolved: &Convolved,
        dense: &Dense,
        plan: Option<&TilePlan>,
        lanes: &mut Lanes,
    ) -> Vec<Form> {
        let (dst, windows) = (&convolved.laid.dst, dense.windows.as_ref());
        let preferred = if windows.is_some_and(|windows| windows.prefer_winograd(dense.mac, self.width, dst)) {
            Form::Winograd
        } else {
            match plan.filter(|plan| plan.is_faster(convolved.src.offset, &dense.groups[0])) {
                Some(plan) => plan.preferred(),
                None => lanes.preferred(),
            }
        };
        let winograd = windows.filter(|windows| windows.allow_winograd(dense.mac)).map(|_| Form::Winograd);
        let tiles = plan.into_iter().flat_map(TilePlan::forms);
        let vectors = lanes.forms();
        let others = winograd.into_iter().chain(tiles).chain(vectors).filter(|form| *form != preferred);
        std::iter::once(preferred).chain(others).collect()
    }
}
