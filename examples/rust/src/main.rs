//! Reads a handwritten digit: `classify IMAGES.npy INDEX`. Prints its class, and the bits of what the model says.

use std::error::Error;

use octet_runtime::host::Tensor;

octet_runtime::include_model!(digits);

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(path), Some(index)) = (args.next(), args.next()) else {
        return Err("usage: classify digits_images.npy INDEX".into());
    };
    let pixels = read_image(&path, index.parse()?)?;

    let image = Tensor::from_elements(&pixels).ok_or("the image has another size")?;
    let mut logits = [[0.0; 10]; 1];
    let mut workspace = digits::Workspace::new();
    digits::infer(&digits::Inputs { image }, &mut digits::Outputs { logits: &mut logits }, &mut workspace)?;

    let best = (0..10).rev().max_by(|&a, &b| logits[0][a].total_cmp(&logits[0][b])).unwrap_or(0);
    println!("class {best}");
    println!("bits {}", logits[0].map(|logit| format!("{:08x}", logit.to_bits())).join(" "));
    Ok(())
}

/// The images follow the header of the file, whose length stands in bytes 8 and 9.
fn read_image(path: &str, index: usize) -> Result<Vec<f32>, Box<dyn Error>> {
    const PIXELS: usize = 8 * 8;
    let file = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    let length = file.get(8..10).ok_or("not a .npy file")?;
    let data = file.get(10 + usize::from(length[0]) + 256 * usize::from(length[1])..).ok_or("not a .npy file")?;
    let (words, _) = data.as_chunks::<4>();
    let image = words.chunks_exact(PIXELS).nth(index).ok_or("there are not as many images")?;
    Ok(image.iter().map(|&word| f32::from_le_bytes(word)).collect())
}
