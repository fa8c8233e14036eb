//! Reading and writing at indices.

use super::*;

#[test]
fn gather() {
    check(&[
        (
            Op::Gather { axis: 1, batch_dims: 0 },
            vec![count(&[2, 3, 4]), l(&[2, 2], &[0, -1, 2, 1])],
            vec![f(
                &[2, 2, 2, 4],
                &[
                    0.0, 1.0, 2.0, 3.0, 8.0, 9.0, 10.0, 11.0, 8.0, 9.0, 10.0, 11.0, 4.0, 5.0, 6.0, 7.0, 12.0, 13.0,
                    14.0, 15.0, 20.0, 21.0, 22.0, 23.0, 20.0, 21.0, 22.0, 23.0, 16.0, 17.0, 18.0, 19.0,
                ],
            )],
        ),
        (
            Op::Gather { axis: 2, batch_dims: 1 },
            vec![count(&[2, 3, 4]), l(&[2, 2], &[3, 0, 1, -2])],
            vec![f(&[2, 3, 2], &[3.0, 0.0, 7.0, 4.0, 11.0, 8.0, 13.0, 14.0, 17.0, 18.0, 21.0, 22.0])],
        ),
        (
            Op::Gather { axis: 1, batch_dims: 1 },
            vec![count(&[2, 3, 4]), l(&[2, 2], &[0, 2, 1, 1])],
            vec![f(
                &[2, 2, 4],
                &[0.0, 1.0, 2.0, 3.0, 8.0, 9.0, 10.0, 11.0, 16.0, 17.0, 18.0, 19.0, 16.0, 17.0, 18.0, 19.0],
            )],
        ),
        (
            Op::Gather { axis: 0, batch_dims: 0 },
            vec![count(&[2, 3, 4]), l(&[], &[1])],
            vec![f(&[3, 4], &[12.0, 13.0, 14.0, 15.0, 16.0, 17.0, 18.0, 19.0, 20.0, 21.0, 22.0, 23.0])],
        ),
        (
            Op::Gather { axis: 2, batch_dims: 2 },
            vec![count(&[2, 3, 4]), l(&[2, 3], &[0, 1, 2, 3, -1, -4])],
            vec![f(&[2, 3], &[0.0, 5.0, 10.0, 15.0, 19.0, 20.0])],
        ),
        (
            Op::GatherElements { axis: 2 },
            vec![count(&[2, 3, 4]), l(&[2, 3, 2], &[3, 0, 1, 2, -1, 0, 0, 0, 1, -4, 2, 3])],
            vec![f(&[2, 3, 2], &[3.0, 0.0, 5.0, 6.0, 11.0, 8.0, 12.0, 12.0, 17.0, 16.0, 22.0, 23.0])],
        ),
        (
            Op::GatherNd { batch_dims: 0 },
            vec![count(&[2, 3, 4]), l(&[2, 2], &[1, 2, 0, 0])],
            vec![f(&[2, 4], &[20.0, 21.0, 22.0, 23.0, 0.0, 1.0, 2.0, 3.0])],
        ),
        (
            Op::GatherNd { batch_dims: 1 },
            vec![count(&[2, 3, 4]), l(&[2, 1, 2], &[2, 3, 0, 1])],
            vec![f(&[2, 1], &[11.0, 13.0])],
        ),
        (
            Op::GatherNd { batch_dims: 0 },
            vec![count(&[2, 3, 4]), l(&[2, 3], &[1, 2, 3, 0, -1, 0])],
            vec![f(&[2], &[23.0, 8.0])],
        ),
        (
            Op::GatherNd { batch_dims: 1 },
            vec![count(&[2, 3, 4]), l(&[2, 2, 1], &[2, 0, 0, 1])],
            vec![f(
                &[2, 2, 4],
                &[8.0, 9.0, 10.0, 11.0, 0.0, 1.0, 2.0, 3.0, 12.0, 13.0, 14.0, 15.0, 16.0, 17.0, 18.0, 19.0],
            )],
        ),
    ]);
}

#[test]
fn scatter() {
    check(&[
        (
            Op::ScatterElements { axis: 1, reduction: ScatterReduction::None },
            vec![
                f(&[2, 3], &[1.0, 2.0, 3.0, 4.0, -5.0, 6.0]),
                l(&[2, 2], &[0, 0, 2, -1]),
                f(&[2, 2], &[7.0, -8.0, -9.0, 2.0]),
            ],
            vec![f(&[2, 3], &[-8.0, 2.0, 3.0, 4.0, -5.0, 2.0])],
        ),
        (
            Op::ScatterElements { axis: 1, reduction: ScatterReduction::Sum },
            vec![
                f(&[2, 3], &[1.0, 2.0, 3.0, 4.0, -5.0, 6.0]),
                l(&[2, 2], &[0, 0, 2, -1]),
                f(&[2, 2], &[7.0, -8.0, -9.0, 2.0]),
            ],
            vec![f(&[2, 3], &[0.0, 2.0, 3.0, 4.0, -5.0, -1.0])],
        ),
        (
            Op::ScatterElements { axis: 1, reduction: ScatterReduction::Prod },
            vec![
                f(&[2, 3], &[1.0, 2.0, 3.0, 4.0, -5.0, 6.0]),
                l(&[2, 2], &[0, 0, 2, -1]),
                f(&[2, 2], &[7.0, -8.0, -9.0, 2.0]),
            ],
            vec![f(&[2, 3], &[-56.0, 2.0, 3.0, 4.0, -5.0, -108.0])],
        ),
        (
            Op::ScatterElements { axis: 1, reduction: ScatterReduction::Min },
            vec![
                f(&[2, 3], &[1.0, 2.0, 3.0, 4.0, -5.0, 6.0]),
                l(&[2, 2], &[0, 0, 2, -1]),
                f(&[2, 2], &[7.0, -8.0, -9.0, 2.0]),
            ],
            vec![f(&[2, 3], &[-8.0, 2.0, 3.0, 4.0, -5.0, -9.0])],
        ),
        (
            Op::ScatterElements { axis: 1, reduction: ScatterReduction::Max },
            vec![
                f(&[2, 3], &[1.0, 2.0, 3.0, 4.0, -5.0, 6.0]),
                l(&[2, 2], &[0, 0, 2, -1]),
                f(&[2, 2], &[7.0, -8.0, -9.0, 2.0]),
            ],
            vec![f(&[2, 3], &[7.0, 2.0, 3.0, 4.0, -5.0, 6.0])],
        ),
        (
            Op::ScatterElements { axis: 1, reduction: ScatterReduction::Mean },
            vec![
                f(&[2, 3], &[1.0, 2.0, 3.0, 4.0, -5.0, 6.0]),
                l(&[2, 2], &[0, 0, 2, -1]),
                f(&[2, 2], &[7.0, -8.0, -9.0, 2.0]),
            ],
            vec![f(&[2, 3], &[0.0, 2.0, 3.0, 4.0, -5.0, -0.33333334])],
        ),
        (
            Op::ScatterElements { axis: 1, reduction: ScatterReduction::Mean },
            vec![i(&[2, 3], &[1, 2, 3, 4, -5, 6]), l(&[2, 2], &[0, 0, 2, -1]), i(&[2, 2], &[7, -8, -9, 2])],
            vec![i(&[2, 3], &[0, 2, 3, 4, -5, -1])],
        ),
        (
            Op::ScatterNd,
            vec![
                count(&[2, 3, 4]),
                l(&[2, 2], &[1, 0, 0, 2]),
                f(&[2, 4], &[-1.25, -1.0, 2.25, -2.5, 0.75, 0.5, 0.0, 2.0]),
            ],
            vec![f(
                &[2, 3, 4],
                &[
                    0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 0.75, 0.5, 0.0, 2.0, -1.25, -1.0, 2.25, -2.5, 16.0, 17.0,
                    18.0, 19.0, 20.0, 21.0, 22.0, 23.0,
                ],
            )],
        ),
    ]);
}

/// An index outside its dimension reads 0 and writes nothing; of two updates for one place the later one stays.
#[test]
fn indices_outside_and_repeated() {
    let data = f(&[3], &[1.0, 2.0, 3.0]);
    let scatter = Op::ScatterElements { axis: 0, reduction: ScatterReduction::None };
    let updates = f(&[3], &[7.0, 8.0, 9.0]);
    check(&[
        (
            Op::Gather { axis: 0, batch_dims: 0 },
            vec![data.clone(), l(&[3], &[3, -4, -3])],
            vec![f(&[3], &[0.0, 0.0, 1.0])],
        ),
        (Op::GatherElements { axis: 0 }, vec![data.clone(), l(&[2], &[5, -1])], vec![f(&[2], &[0.0, 3.0])]),
        (Op::GatherNd { batch_dims: 0 }, vec![data.clone(), l(&[2, 1], &[5, 1])], vec![f(&[2], &[0.0, 2.0])]),
        (scatter, vec![data.clone(), l(&[3], &[3, 1, 1]), updates.clone()], vec![f(&[3], &[1.0, 9.0, 3.0])]),
        (Op::ScatterNd, vec![data, l(&[3, 1], &[-4, 0, -1]), updates], vec![f(&[3], &[8.0, 2.0, 9.0])]),
    ]);
}
