//! Blocks of space against depth or batch.

use super::super::ty::TensorType;
use super::{Inferred, check_len, checked_product, checked_sum, typed};

/// `[n, c, d..]` to `[n, c / block^k, d * block..]` for k spatial dimensions.
pub(super) fn depth_to_space(src: &TensorType, block: usize) -> Inferred {
    let volume = block_volume(src, block)?;
    let channels = src.shape[1];
    if !channels.is_multiple_of(volume) {
        return Err(format!("{channels} channels do not divide into blocks of {volume}"));
    }
    let mut dims = vec![src.shape[0], channels / volume];
    for &size in &src.shape.dims()[2..] {
        dims.push(checked_product(&[size, block])?);
    }
    typed(src.elem, dims)
}

/// `[n, c, d..]` to `[n, c * block^k, d / block..]` for k spatial dimensions.
pub(super) fn space_to_depth(src: &TensorType, block: usize) -> Inferred {
    let volume = block_volume(src, block)?;
    let mut dims = vec![src.shape[0], checked_product(&[src.shape[1], volume])?];
    for &size in &src.shape.dims()[2..] {
        if !size.is_multiple_of(block) {
            return Err(format!("a spatial size of {src} does not divide into blocks of {block}"));
        }
        dims.push(size / block);
    }
    typed(src.elem, dims)
}

fn block_volume(src: &TensorType, block: usize) -> Result<usize, String> {
    if src.shape.rank() < 3 {
        return Err(format!("takes [n, c, spatial..], not {src}"));
    }
    if block == 0 {
        return Err("block is 0".into());
    }
    checked_product(&vec![block; src.shape.rank() - 2])
}

/// `[n, d..]` to `[n / product(block), d * block - crops..]`.
pub(super) fn batch_to_space(
    src: &TensorType,
    block: &[usize],
    crops_begin: &[usize],
    crops_end: &[usize],
) -> Inferred {
    check_lists(src, block, [("crops_begin", crops_begin), ("crops_end", crops_end)])?;
    let volume = checked_product(block)?;
    let batch = src.shape[0];
    if !batch.is_multiple_of(volume) {
        return Err(format!("a batch of {batch} does not divide into blocks of {volume}"));
    }
    let mut dims = vec![batch / volume];
    for dim in 1..src.shape.rank() {
        let size = checked_product(&[src.shape[dim], block[dim]])?;
        let crops = checked_sum(&[crops_begin[dim], crops_end[dim]])?;
        let Some(cropped) = size.checked_sub(crops) else {
            return Err(format!("crops of {crops} leave nothing of {size} elements"));
        };
        dims.push(cropped);
    }
    typed(src.elem, dims)
}

/// `[n, d..]` to `[n * product(block), (d + pads) / block..]`.
pub(super) fn space_to_batch(src: &TensorType, block: &[usize], pads_begin: &[usize], pads_end: &[usize]) -> Inferred {
    check_lists(src, block, [("pads_begin", pads_begin), ("pads_end", pads_end)])?;
    let mut dims = vec![checked_product(&[src.shape[0], checked_product(block)?])?];
    for dim in 1..src.shape.rank() {
        let padded = checked_sum(&[src.shape[dim], pads_begin[dim], pads_end[dim]])?;
        if !padded.is_multiple_of(block[dim]) {
            return Err(format!("dimension {dim} of {src}, padded to {padded}, does not divide by {}", block[dim]));
        }
        dims.push(padded / block[dim]);
    }
    typed(src.elem, dims)
}

/// One entry per dimension; nothing happens to the batch itself.
fn check_lists(src: &TensorType, block: &[usize], pads: [(&str, &[usize]); 2]) -> Result<(), String> {
    let rank = src.shape.rank();
    if rank == 0 {
        return Err(format!("takes [n, ..], not {src}"));
    }
    check_len("block", block.len(), rank)?;
    for (name, list) in pads {
        check_len(name, list.len(), rank)?;
        if list[0] != 0 {
            return Err(format!("{name} {list:?} must begin with 0"));
        }
    }
    if block[0] != 1 || block.contains(&0) {
        return Err(format!("block {block:?} must begin with 1 and have no 0"));
    }
    Ok(())
}
