//! The graph's machinery beyond `tests/ir`: what a text cannot say, what must not panic, files and options.

use std::collections::BTreeMap;
use std::path::PathBuf;

use octet::ir::attrs::{attrs_of, op_from_attrs, prototypes};
use octet::ir::graph::LayerData;
use octet::ir::op::{BinaryOp, UnaryOp};
use octet::ir::parse::parse_text;
use octet::ir::print::{PrintOptions, print};
use octet::ir::verify::verify;
use octet::ir::{ElemType, Graph, Node, Op, Shape, Tensor, TensorType, broadcast_shapes, dot, file};
use octet::passes::manager::{self, Options, Selection};
use octet::passes::rewrite::{Rewriter, Rule, apply_rules};
use octet::passes::{PASSES, PIPELINE, pass};

fn shape(dims: &[usize]) -> Shape {
    Shape::new(dims).expect("a small shape")
}

fn graph(text: &str) -> Graph {
    parse_text(text, "test").unwrap_or_else(|errors| panic!("{errors}")).graph
}

const CHAIN: &str = "func @f(%x: tensor<4xf32>) -> (y: tensor<4xf32>) {
  %0 = relu %x : tensor<4xf32>
  %1 = reshape %0 : tensor<2x2xf32>
  %2 = reshape %1 : tensor<4xf32>
  return %2
}";

#[test]
fn shapes_broadcast_as_in_numpy() {
    type Dims = &'static [usize];
    let rows: [(Dims, Dims, Option<Dims>); 6] = [
        (&[], &[], Some(&[])),
        (&[3], &[], Some(&[3])),
        (&[2, 1, 4], &[3, 1], Some(&[2, 3, 4])),
        (&[1], &[0], Some(&[0])),
        (&[2], &[3], None),
        (&[2], &[0], None),
    ];
    for (a, b, expected) in rows {
        let expected = expected.map(shape);
        assert_eq!(broadcast_shapes(&shape(a), &shape(b)).ok(), expected, "{a:?} and {b:?}");
        assert_eq!(broadcast_shapes(&shape(b), &shape(a)).ok(), expected, "{b:?} and {a:?}");
    }
}

#[test]
fn use_before_definition_does_not_verify() {
    let mut graph = graph(CHAIN);
    let nodes: Vec<Node> = graph.body_nodes().collect();
    let last = graph.result(nodes[2]);
    graph.set_operand(nodes[0], 0, last).expect("the types fit");
    let errors = verify(&graph).expect_err("a cycle");
    assert_eq!(errors.0.len(), 1);
    assert_eq!(errors.0[0].node, Some(nodes[0]));
    let text = errors.in_text(&graph, &PrintOptions::log());
    let line = text.lines().position(|line| line.contains("= relu")).expect("the node is printed");
    assert_eq!(text.lines().nth(line + 1).map(str::trim), Some("// error: %3 is used before its definition"));
}

#[test]
fn a_body_without_return_does_not_verify() {
    let mut graph = Graph::new("f");
    let x = graph.add_input("x", TensorType::new(ElemType::F32, shape(&[2])));
    graph.append(graph.body(), Op::Unary(UnaryOp::Relu), &[x], &[]).expect("relu of floats");
    assert!(verify(&graph).expect_err("no return").to_string().contains("does not end in return"));
}

#[test]
fn a_region_of_two_owners_does_not_verify() {
    let mut graph = Graph::new("f");
    let condition = graph.add_input("c", TensorType::new(ElemType::Bool, Shape::scalar()));
    let region = graph.new_region();
    graph.append(region, Op::Return, &[condition], &[]).expect("return");
    let op = Op::If { then_body: region, else_body: region };
    let node = graph.append(graph.body(), op, &[condition], &[]).expect("both branches fit");
    let result = graph.result(node);
    graph.append(graph.body(), Op::Return, &[result], &[]).expect("return");
    assert!(verify(&graph).expect_err("two owners").to_string().contains("belongs to two nodes"));
}

#[test]
fn removing_a_branch_forgets_the_uses_in_its_regions() {
    let mut graph = graph(
        "func @f(%c: tensor<bool>, %x: tensor<4xf32>) -> (y: tensor<4xf32>) {
          %0 = if %c : tensor<4xf32>
            then() {
              %1 = neg %x : tensor<4xf32>
              return %1
            }
            else() {
              return %x
            }
          return %x
        }",
    );
    let branch = graph.body_nodes().next().expect("a node");
    graph.remove(branch);
    assert_eq!(graph.users(graph.inputs()[1]).len(), 1);
    verify(&graph).expect("a sound graph");
}

#[test]
fn attributes_of_every_operation_are_read_as_written() {
    for op in prototypes() {
        let elem = if matches!(op, Op::Convert { .. } | Op::OneHot { .. }) { ElemType::F32 } else { ElemType::U8 };
        let types = [TensorType::new(elem, Shape::scalar()), TensorType::new(ElemType::I64, Shape::scalar())];
        let mut expected = op.clone();
        if let Op::Split { lengths, .. } = &mut expected {
            lengths.clear();
        }
        assert_eq!(op_from_attrs(op.name(), attrs_of(&op), &types), Ok(expected));
    }
}

#[test]
fn large_constants_go_to_a_side_file_and_come_back() {
    let mut graph = Graph::new("weights");
    let weights = Tensor::f32(shape(&[5, 7]), (0..35).map(|i| i as f32 / 3.0).collect());
    let bytes = Tensor::i8(shape(&[17]), (0..17).collect());
    let layer = graph.add_layer(LayerData { name: "w".into(), kind: "Const".into(), line: 3 });
    let mut values = Vec::new();
    for tensor in [weights, bytes] {
        let id = graph.add_tensor(tensor);
        let node = graph.append(graph.body(), Op::Const(id), &[], &[layer]).expect("a constant");
        values.push(graph.result(node));
    }
    graph.append(graph.body(), Op::Return, &values, &[]).expect("return");

    let dir = temporary("side-file");
    let path = dir.join("weights.oir");
    file::write(&graph, &path).expect("written");
    let again = file::read(&path).expect("read").graph;
    for (&before, &after) in graph.outputs().iter().zip(again.outputs()) {
        assert_eq!(graph.const_value(before), again.const_value(after));
    }
    assert_eq!(print(&graph, &PrintOptions::file("b")), print(&again, &PrintOptions::file("b")));

    let blob = dir.join("weights.oir.bin");
    let mut contents = std::fs::read(&blob).expect("the side file");
    contents[4] ^= 1;
    std::fs::write(&blob, &contents).expect("written");
    assert!(file::read(&path).expect_err("a stale side file").to_string().contains("different dumps"));
    std::fs::write(&blob, &contents[..100]).expect("written");
    assert!(file::read(&path).expect_err("a short side file").to_string().contains("leaves the blob"));
    std::fs::remove_file(&blob).expect("removed");
    assert!(file::read(&path).expect_err("no side file").to_string().contains("weights.oir.bin"));
}

/// Bytes of valid texts changed, removed and repeated: the parser answers with a graph that verifies or with errors.
#[test]
fn the_parser_survives_mutated_text() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/ir/parse");
    let mut texts: Vec<String> = std::fs::read_dir(root)
        .expect("tests/ir/parse")
        .map(|entry| std::fs::read_to_string(entry.expect("an entry").path()).expect("a text"))
        .flat_map(|text| text.split("// case:").skip(1).map(String::from).collect::<Vec<_>>())
        .collect();
    texts.sort();
    let alphabet = b"%@{}()[]<>,:=\"\\-x0129 \nabf.";
    arbtest::arbtest(|u| {
        let mut text = u.choose(&texts)?.split_once('\n').map_or("", |(_, text)| text).as_bytes().to_vec();
        for _ in 0..u.int_in_range(1..=4)? {
            let at = u.choose_index(text.len().max(1))?;
            match u.int_in_range(0..=3)? {
                0 if at < text.len() => text[at] = *u.choose(alphabet)?,
                1 => text.insert(at, *u.choose(alphabet)?),
                2 => text.truncate(at),
                _ => {
                    let end = (at + u.int_in_range(1..=40)?).min(text.len());
                    let part = text[at.min(end)..end].to_vec();
                    text.splice(at..at, part);
                }
            }
        }
        if let Ok(parsed) = parse_text(&String::from_utf8_lossy(&text), "mutated") {
            let printed = print(&parsed.graph, &PrintOptions::file("b")).text;
            let again = parse_text(&printed, "printed").expect("what is printed can be read").graph;
            assert_eq!(print(&again, &PrintOptions::file("b")).text, printed);
        }
        Ok(())
    });
}

#[test]
fn the_picture_has_every_edge_but_those_of_constants() {
    let picture = dot::to_dot(&graph(
        "func @\"a \\\"b\\\"\"(%x: tensor<2xf32>) -> (y: tensor<2xf32>) {
          %0 = const dense<2.0> : tensor<f32>
          %1 = mul %x, %0 : tensor<2xf32>
          return %1
        }",
    ));
    assert_eq!(picture.matches("->").count(), 2);
    assert!(picture.starts_with("digraph \"a \\\"b\\\"\" {"));
}

#[test]
fn pass_names_are_unique_and_the_pipeline_knows_them() {
    let mut names: Vec<&str> = PASSES.iter().map(|pass| pass.name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), PASSES.len());
    assert!(PIPELINE.iter().all(|name| pass(name).is_some()));
}

#[test]
fn all_unknown_passes_are_named_at_once() {
    let options = Options { disable: Selection::parse("nonsense,dce"), ..Options::default() };
    let errors = manager::run(&mut graph(CHAIN), &["cse", "csse"], &options, &mut Vec::new()).expect_err("unknown");
    let text = errors.to_string();
    assert_eq!(errors.exit_code(), 2);
    assert!(text.contains("\"csse\"") && text.contains("\"nonsense\"") && text.contains("canonicalize, cse"), "{text}");
}

#[test]
fn passes_stop_are_skipped_printed_and_timed_as_asked() {
    let options = Options {
        print_before: Selection::parse("canonicalize"),
        print_after: Selection::parse("all"),
        stop_after: Some("cse".into()),
        disable: Selection::parse("dce"),
        time_passes: true,
        ..Options::default()
    };
    let mut log = Vec::new();
    let mut graph = graph(CHAIN);
    let report =
        manager::run(&mut graph, &["canonicalize", "dce", "cse", "fold"], &options, &mut log).expect("passes run");
    let ran: Vec<(&str, bool)> = report.runs.iter().map(|run| (run.name, run.changed)).collect();
    assert_eq!(ran, [("canonicalize", true), ("cse", false)]);
    let log = String::from_utf8(log).expect("text");
    let headers: Vec<&str> = log.lines().filter(|line| line.starts_with("//")).collect();
    assert_eq!(headers, ["// before canonicalize", "// after canonicalize", "// after cse"]);
    assert!(log.lines().any(|line| line.ends_with("canonicalize         changed")), "{log}");
    assert_eq!(report.context.rule_counts, BTreeMap::from([("reshape-of-reshape", 1), ("identity", 1)]));
}

#[test]
fn dumps_are_numbered_and_can_be_read() {
    let dir = temporary("dumps");
    let options = Options { dump_dir: Some(dir.clone()), ..Options::default() };
    manager::run(&mut graph(CHAIN), &["canonicalize", "dce"], &options, &mut Vec::new()).expect("passes run");
    for (name, nodes) in [("00-input.oir", 4), ("01-canonicalize.oir", 2), ("02-dce.oir", 2)] {
        let parsed = file::read(&dir.join(name)).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(parsed.graph.body_nodes().count(), nodes, "{name}");
    }
}

#[test]
fn rules_that_undo_each_other_end_in_an_internal_error() {
    fn swap(rewriter: &mut Rewriter<'_>, node: Node) -> bool {
        let Op::Binary(BinaryOp::Add) = rewriter.graph().op(node) else {
            return false;
        };
        let operands = [rewriter.graph().operand(node, 1), rewriter.graph().operand(node, 0)];
        rewriter.replace_op(node, Op::Binary(BinaryOp::Add), &operands)
    }
    let mut graph = graph(
        "func @f(%x: tensor<4xf32>, %y: tensor<4xf32>) -> (z: tensor<4xf32>) {
          %0 = add %x, %y : tensor<4xf32>
          return %0
        }",
    );
    let rules = [Rule { name: "swap", apply: swap }];
    let errors = apply_rules(&mut graph, &rules, &mut BTreeMap::new()).expect_err("no end");
    assert_eq!(errors.exit_code(), 5);
    assert!(errors.to_string().contains("the last rule is swap"));
}

/// An empty directory of this test's own.
fn temporary(name: &str) -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("a directory");
    dir
}
