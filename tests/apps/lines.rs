//! What debuggers and profilers see of the layers: DWARF line information, read back with another library's reader from
//! programs and from what the system's linker makes of objects; and gdb itself, where it is installed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use gimli::{Dwarf, EndianSlice, LittleEndian, SectionId};
use object::{Object, ObjectSection, ObjectSymbol};

use super::{command, digits, has, octet, root, run};

type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// Name of a function -> file and line of its first instruction, for all that have a line.
fn lines_of_functions(bytes: &[u8]) -> BTreeMap<String, (String, u64)> {
    let file = object::File::parse(bytes).unwrap();
    let section = |id: SectionId| -> Result<Slice<'_>, gimli::Error> {
        let data = file.section_by_name(id.name()).map_or(&[][..], |section| section.data().unwrap());
        Ok(EndianSlice::new(data, LittleEndian))
    };
    let dwarf = Dwarf::load(section).unwrap();
    let mut lines = BTreeMap::new();
    let mut units = dwarf.units();
    while let Some(header) = units.next().unwrap() {
        let unit = dwarf.unit(header).unwrap();
        let Some(program) = unit.line_program.clone() else { continue };
        let mut rows = program.rows();
        while let Some((header, row)) = rows.next_row().unwrap() {
            let (Some(line), Some(source)) = (row.line(), row.file(header)) else { continue };
            let source = dwarf.attr_string(&unit, source.path_name()).unwrap().to_string_lossy().into_owned();
            lines.entry(row.address()).or_insert((source, line.get()));
        }
    }
    let functions = file.symbols().filter(|symbol| symbol.kind() == object::SymbolKind::Text);
    let found = functions
        .filter_map(|function| Some((function.name().unwrap().to_owned(), lines.get(&function.address())?.clone())));
    found.collect()
}

/// Name, as symbols have it -> line of the layers in a model.
fn lines_of_layers(xml: &Path) -> BTreeMap<String, u64> {
    let text = fs::read_to_string(xml).unwrap();
    let layers = text.lines().enumerate().filter(|(_, line)| line.trim_start().starts_with("<layer "));
    let name = |line: &str| line.split(" name=\"").nth(1).unwrap().split('"').next().unwrap().replace(':', "_");
    layers.map(|(index, line)| (name(line), index as u64 + 1)).collect()
}

/// Every step points to the line of the layer it is named after, and so does every kernel that works for one layer.
#[track_caller]
fn check(bytes: &[u8], xml: &Path) {
    let (functions, layers) = (lines_of_functions(bytes), lines_of_layers(xml));
    let steps = functions.iter().filter(|(name, _)| name.starts_with("digits.step."));
    let mut convolutions = 0;
    for (name, (source, line)) in steps {
        let layer = name.splitn(4, '.').nth(3).unwrap();
        assert_eq!(source, "digits.xml");
        assert_eq!(layers.get(layer), Some(line), "{name}");
        convolutions += usize::from(layer.starts_with("Convolution_"));
    }
    assert!(convolutions >= 8, "{functions:?}");
    let kernel = |layer: &str| functions.iter().find(|(name, _)| name.ends_with(&format!(".conv.{layer}")));
    assert_eq!(kernel("Convolution_36").unwrap().1.1, layers["Convolution_36"]);
}

#[test]
fn programs_have_lines() {
    let folder = digits("lines-exe");
    run(&mut command(&folder, octet(), "compile digits.xml -o app"));
    check(&fs::read(folder.join("app")).unwrap(), &folder.join("digits.xml"));
}

#[test]
fn objects_have_lines_for_any_linker() {
    let folder = digits("lines-obj");
    run(&mut command(&folder, octet(), "compile digits.xml --emit obj,header -o digits.o"));
    run(command(&folder, "cc", "-I. -o app digits.o").arg(root().join("examples/c/classify.c")));
    check(&fs::read(folder.join("app")).unwrap(), &folder.join("digits.xml"));
}

#[test]
fn lines_can_be_left_out() {
    let folder = digits("lines-none");
    run(&mut command(&folder, octet(), "compile digits.xml -o app --emit exe,obj --strip-debug"));
    for name in ["app", "digits.o"] {
        let bytes = fs::read(folder.join(name)).unwrap();
        let file = object::File::parse(&*bytes).unwrap();
        assert!(!file.sections().any(|section| section.name().unwrap().starts_with(".debug")), "{name}");
    }
}

/// A breakpoint at a layer's line stops in the layer, and the callers are found without unwind information.
#[test]
fn gdb_names_layers() {
    if !has("gdb", "`apt install gdb`") {
        return;
    }
    let folder = digits("gdb");
    super::examples::expected(&folder);
    // Widest vectors and Cranelift's: two back ends, two prologues.
    for cpu in ["native", if cfg!(target_arch = "x86_64") { "x86-64-v2" } else { "generic" }] {
        run(&mut command(&folder, octet(), &format!("compile digits.xml -o app --cpu {cpu}")));
        let line = lines_of_layers(&folder.join("digits.xml"))["Convolution_36"];
        fs::write(
            folder.join("commands"),
            format!("tbreak digits.xml:{line}\nrbreak kernel.*conv.Convolution_36\nrun\nbt\ncontinue\n"),
        )
        .unwrap();
        let session = "-batch -nx -x commands --args ./app run --input image.npy --threads 1";
        let output = command(&folder, "gdb", session).env("SHELL", "/bin/sh").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        if text.contains("ptrace: Operation not permitted") || text.contains("Could not trace") {
            eprintln!("skipped: gdb may not trace processes here");
            return;
        }
        assert!(text.contains(&format!("at digits.xml:{line}")), "{text}{}", String::from_utf8_lossy(&output.stderr));
        for frame in ["Convolution_36 () at digits.xml", "in digits_infer ()"] {
            assert!(text.contains(frame), "{frame}: {text}");
        }
    }
}
