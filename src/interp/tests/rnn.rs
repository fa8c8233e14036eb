//! Recurrent sequences, against OpenVINO: two batch elements, three steps, two features, two hidden.

use super::*;

/// Numbers between -0.625 and 0.625, others for each operand.
fn fill(operand: usize, dims: &[usize]) -> Tensor {
    let value = |at: usize| ((at * 7 + operand * 3) % 11) as f32 / 8.0 - 0.625;
    f(dims, &(0..shape(dims).elements()).map(value).collect::<Vec<f32>>())
}

fn operands(kind: RnnKind, dirs: usize, linear_before_reset: bool) -> Vec<Tensor> {
    let (gates, states) = match kind {
        RnnKind::Lstm => (4, 2),
        RnnKind::Gru => (3, 1),
        RnnKind::Rnn => (1, 1),
    };
    let biases = 2 * (gates + usize::from(linear_before_reset));
    let mut shapes = vec![vec![2, 3, 2]];
    shapes.extend(vec![vec![2, dirs, 2]; states]);
    shapes.extend([vec![dirs, 2 * gates, 2], vec![dirs, 2 * gates, 2], vec![dirs, biases]]);
    shapes.iter().enumerate().map(|(operand, dims)| fill(operand, dims)).collect()
}

/// The hidden states after the last step, which stands at the other end for the reverse direction.
fn last_steps(y: &[f32], direction: Direction, dirs: usize) -> Vec<f32> {
    let lanes = y.chunks_exact(3 * 2).enumerate();
    let last = lanes.flat_map(|(lane, steps)| {
        let reverse = direction == Direction::Reverse || lane % dirs == 1;
        if reverse { steps[..2].to_vec() } else { steps[4..].to_vec() }
    });
    last.collect()
}

fn projected(op: &Op) -> Op {
    match op {
        Op::Rnn(attrs) => Op::Rnn(RnnAttrs { projected: true, ..attrs.clone() }),
        other => panic!("{} is not recurrent", other.name()),
    }
}

/// The operands with the products of x and w in their place.
fn project(operands: &[Tensor]) -> Vec<Tensor> {
    let (x, w) = (operands[0].to_f64(), operands[operands.len() - 3].to_f64());
    let dot = |x: &[f64], w: &[f64]| x.iter().zip(w).map(|(x, w)| x * w).sum::<f64>() as f32;
    let products: Vec<f32> = x.chunks(2).flat_map(|x| w.chunks(2).map(move |w| dot(x, w))).collect();
    let mut rest = operands.to_vec();
    rest.remove(operands.len() - 3);
    rest[0] = f(&[2, 3, products.len() / 6], &products);
    rest
}

type SequenceRow<'a> = (RnnKind, Direction, Option<f32>, bool, &'a [f32], &'a [f32]);

#[test]
fn sequences() {
    let rows: [SequenceRow<'_>; 14] = [
        (
            RnnKind::Lstm,
            Direction::Forward,
            None,
            false,
            &[
                0.11260935,
                -0.045758232,
                0.11964734,
                0.0944769,
                0.22359769,
                -0.017154902,
                0.22805764,
                0.037063308,
                0.13766515,
                0.11208992,
                0.21213335,
                -0.020617368,
            ],
            &[0.5288972, -0.02713269, 0.45942107, -0.033474192],
        ),
        (
            RnnKind::Gru,
            Direction::Forward,
            None,
            false,
            &[
                -0.092554964,
                0.20217653,
                -0.023534639,
                0.006935882,
                0.19801782,
                -0.07762229,
                0.27305156,
                -0.23723172,
                0.17664367,
                -0.4008128,
                0.29003513,
                -0.44326764,
            ],
            &[],
        ),
        (
            RnnKind::Gru,
            Direction::Forward,
            None,
            true,
            &[
                0.11934585,
                0.20769814,
                0.29968503,
                -0.00010696999,
                0.46942943,
                -0.090198666,
                0.4005421,
                -0.21744554,
                0.4529765,
                -0.3747936,
                0.5555707,
                -0.4283212,
            ],
            &[],
        ),
        (
            RnnKind::Rnn,
            Direction::Forward,
            None,
            false,
            &[
                -0.6622861,
                0.39850885,
                -0.79933506,
                0.62342244,
                -0.6312055,
                0.78981924,
                -0.3583574,
                0.39850885,
                -0.70757157,
                0.4248697,
                -0.56150997,
                0.6781128,
            ],
            &[],
        ),
        (
            RnnKind::Lstm,
            Direction::Reverse,
            None,
            false,
            &[
                0.10511609,
                0.1165639,
                0.13069811,
                0.05619867,
                0.19445558,
                -0.185591,
                0.21012712,
                -0.0007170041,
                0.10794047,
                0.10536383,
                0.17515722,
                0.01314378,
            ],
            &[0.2782636, 0.21864481, 0.5595244, -0.0010926716],
        ),
        (
            RnnKind::Lstm,
            Direction::Reverse,
            Some(0.25),
            false,
            &[
                0.09252125,
                0.053921446,
                0.090819746,
                -0.009709994,
                0.08975936,
                -0.15042357,
                0.12032765,
                0.0030118527,
                0.120352715,
                0.062957615,
                0.1700545,
                0.012547563,
            ],
            &[0.21455356, 0.0995049, 0.28208253, 0.0053575374],
        ),
        (
            RnnKind::Gru,
            Direction::Reverse,
            None,
            false,
            &[
                0.07431428,
                -0.20151223,
                0.08887941,
                0.11900263,
                0.11064973,
                0.40649796,
                0.29308918,
                -0.32100564,
                0.16729607,
                -0.50348735,
                0.26169398,
                -0.4228622,
            ],
            &[],
        ),
        (
            RnnKind::Gru,
            Direction::Reverse,
            None,
            true,
            &[
                0.41102037,
                -0.20701578,
                0.33832732,
                0.13269922,
                0.21529928,
                0.42040166,
                0.5590142,
                -0.28366122,
                0.45029068,
                -0.4737018,
                0.3873664,
                -0.40041128,
            ],
            &[],
        ),
        (
            RnnKind::Gru,
            Direction::Reverse,
            Some(0.25),
            true,
            &[
                0.20338203,
                -0.062418777,
                0.15004797,
                0.11460709,
                0.028231628,
                0.357421,
                0.2346772,
                -0.14733411,
                0.22152692,
                -0.27770224,
                0.19149137,
                -0.3135127,
            ],
            &[],
        ),
        (
            RnnKind::Rnn,
            Direction::Reverse,
            None,
            false,
            &[
                -0.78154117,
                0.5853579,
                -0.7548866,
                0.61501753,
                -0.43718877,
                0.6622861,
                -0.648388,
                0.78570116,
                -0.6700248,
                0.26689345,
                -0.21532634,
                0.10894093,
            ],
            &[],
        ),
        (
            RnnKind::Lstm,
            Direction::Bidirectional,
            None,
            false,
            &[
                0.11260935,
                -0.045758232,
                0.11964734,
                0.0944769,
                0.22359769,
                -0.017154902,
                -0.1015917,
                0.042172898,
                -0.097450614,
                0.023332622,
                -0.07285966,
                0.13715485,
                0.05966375,
                0.04224486,
                0.0837527,
                0.114108026,
                0.1881452,
                -0.021225514,
                -0.24121366,
                0.06749832,
                -0.1473877,
                0.023481771,
                -0.18933271,
                0.046149008,
            ],
            &[0.5288972, -0.02713269, -0.28078058, 0.07311609, 0.4059406, -0.03401724, -0.6042133, 0.092480555],
        ),
        (
            RnnKind::Gru,
            Direction::Bidirectional,
            None,
            false,
            &[
                -0.092554964,
                0.20217653,
                -0.023534639,
                0.006935882,
                0.19801782,
                -0.07762229,
                0.18892771,
                -0.5380825,
                0.12374623,
                -0.50601053,
                0.0136357,
                -0.34862036,
                0.47825718,
                -0.0045062103,
                0.30347502,
                -0.2919208,
                0.3643313,
                -0.3858935,
                -0.19587952,
                -0.4091089,
                -0.26274025,
                -0.36014822,
                -0.4783672,
                0.031841878,
            ],
            &[],
        ),
        (
            RnnKind::Gru,
            Direction::Bidirectional,
            None,
            true,
            &[
                0.11934585,
                0.20769814,
                0.29968503,
                -0.00010696999,
                0.46942943,
                -0.090198666,
                0.33969113,
                -0.20549059,
                0.23370823,
                -0.24771547,
                -0.020145267,
                -0.21997586,
                0.5715371,
                0.016209181,
                0.5370184,
                -0.2594001,
                0.59878856,
                -0.36678773,
                -0.08301056,
                0.0010714931,
                -0.0537338,
                -0.0023801392,
                -0.46680722,
                0.27383047,
            ],
            &[],
        ),
        (
            RnnKind::Rnn,
            Direction::Bidirectional,
            None,
            false,
            &[
                -0.6622861,
                0.39850885,
                -0.79933506,
                0.62342244,
                -0.6312055,
                0.78981924,
                0.5993358,
                -0.39683238,
                0.39632463,
                -0.73664093,
                -0.10894093,
                -0.2740616,
                -0.1853332,
                0.3583574,
                -0.6616775,
                0.3381929,
                -0.54559577,
                0.64702314,
                -0.02393523,
                -0.3720678,
                0.5208496,
                -0.66586626,
                -0.43718877,
                -0.41157007,
            ],
            &[],
        ),
    ];
    for (kind, direction, clip, linear_before_reset, y, c) in rows {
        let dirs = if direction == Direction::Bidirectional { 2 } else { 1 };
        let mut expected = vec![f(&[2, dirs, 3, 2], y), f(&[2, dirs, 2], &last_steps(y, direction, dirs))];
        if kind == RnnKind::Lstm {
            expected.push(f(&[2, dirs, 2], c));
        }
        let op = rnn(kind, direction, clip, linear_before_reset);
        let operands = operands(kind, dirs, linear_before_reset);
        check_near(&[(projected(&op), project(&operands), expected.clone()), (op, operands, expected)]);
    }
}
