//! OpenVINO IR in, graph or diagnostics out: one test per file.
//!
//! `tests/import/good/*.xml` must import; `*.txt` beside each is the printed graph. `tests/import/bad/*.xml` must be
//! refused; `*.txt` is what the user reads. `BLESS=1` rewrites the texts. Files may begin with directives in
//! comments:
//!
//! ```text
//! <!-- bin: f32 1 2.5 | i64 -1 3 | bytes 18 255 -->      the .bin file, piece after piece
//! <!-- options: batch 2 shape x=1,3,8,8 name m -->
//! ```
//!
//! Every good graph is verified. Every file of either folder is damaged in many ways and imported again: cut after
//! each line, robbed of each line, each number replaced by extreme ones, the .bin overwritten in places and cut.
//! Nothing may panic or be an internal error, and a graph that comes out must verify.
//!
//! With `OCTET_ZOO` set to a folder of models (`*/*/model.xml`), each of them must import and verify, too.

use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Failed, Trial};
use octet::frontend::{ImportOptions, import, import_files};
use octet::ir::print::{PrintOptions, print};
use octet::ir::verify::verify;

fn main() {
    let arguments = Arguments::from_args();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import");
    let mut trials = Vec::new();
    for (folder, check) in [("good", check_good as fn(&Path) -> Result<(), Failed>), ("bad", check_bad)] {
        for path in files(&root.join(folder), "xml") {
            let name = format!("{folder}/{}", stem(&path));
            let damaged = path.clone();
            trials.push(Trial::test(&name, move || check(&path)));
            trials.push(Trial::test(format!("damaged/{name}"), move || check_damaged(&damaged)));
        }
    }
    trials.push(Trial::test("files/missing_xml", || check_missing("missing.xml", "missing.xml")));
    trials.push(Trial::test("files/missing_bin", || check_missing("good/batch_default.xml", "batch_default.bin")));
    trials.extend(zoo_trials());
    libtest_mimic::run(&arguments, trials).exit();
}

fn check_good(path: &Path) -> Result<(), Failed> {
    let case = Case::read(path)?;
    let graph = import(&case.xml, &case.name, &case.bin, &case.options).map_err(|problems| problems.to_string())?;
    verify(&graph).map_err(|errors| errors.in_text(&graph, &PrintOptions::log()))?;
    compare(path, &print(&graph, &PrintOptions::test()).text)
}

fn check_bad(path: &Path) -> Result<(), Failed> {
    let case = Case::read(path)?;
    match import(&case.xml, &case.name, &case.bin, &case.options) {
        Ok(graph) => Err(format!("imported:\n{}", print(&graph, &PrintOptions::test()).text).into()),
        Err(problems) => compare(path, &format!("{problems}\nexit code {}\n", problems.exit_code())),
    }
}

/// A file that is not there is named, with the code of an I/O error.
fn check_missing(xml: &str, named: &str) -> Result<(), Failed> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import").join(xml);
    match import_files(&path, &ImportOptions::default()) {
        Err(problems) if problems.exit_code() == 4 && problems.to_string().contains(named) => Ok(()),
        Err(problems) => Err(problems.to_string().into()),
        Ok(_) => Err("imported".into()),
    }
}

/// A cut file may even be a model; what matters is that the import returns and what it accepts is sound.
fn check_damaged(path: &Path) -> Result<(), Failed> {
    let case = Case::read(path)?;
    let ends = case.xml.match_indices('\n').map(|(at, _)| at);
    let lines: Vec<&str> = case.xml.lines().collect();
    let without = (0..lines.len()).map(|left_out| [&lines[..left_out], &lines[left_out + 1..]].concat().join("\n"));
    let cut = ends.map(|end| case.xml[..end].to_owned());
    for xml in cut.chain(without) {
        sound(&xml, &case.bin, &case.options)?;
    }
    // of a long file, every n-th number
    let numbers = numbers(&case.xml);
    for &(start, end) in numbers.iter().step_by(numbers.len() / 150 + 1) {
        for extreme in ["0", "-1", "99999999999", "18446744073709551615"] {
            let xml = format!("{}{extreme}{}", &case.xml[..start], &case.xml[end..]);
            sound(&xml, &case.bin, &case.options)?;
        }
    }
    for at in (0..case.bin.len()).step_by(4) {
        for extreme in [0, 127, 255] {
            let mut bin = case.bin.clone();
            bin[at..].iter_mut().take(8).for_each(|byte| *byte = extreme);
            sound(&case.xml, &bin, &case.options)?;
        }
    }
    sound(&case.xml, &case.bin[..case.bin.len() / 2], &case.options)
}

/// Places of the numbers in attributes.
fn numbers(xml: &str) -> Vec<(usize, usize)> {
    let mut numbers = Vec::new();
    let mut start = None;
    for (at, char) in xml.char_indices() {
        match (char.is_ascii_digit(), start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                start = None;
                numbers.push((from, at));
            }
            _ => {}
        }
    }
    numbers
}

fn sound(xml: &str, bin: &[u8], options: &ImportOptions) -> Result<(), Failed> {
    match import(xml, "damaged.xml", bin, options) {
        Ok(graph) => verify(&graph).map_err(|errors| errors.in_text(&graph, &PrintOptions::log()).into()),
        Err(problems) if problems.exit_code() == 5 => Err(problems.to_string().into()),
        Err(_) => Ok(()),
    }
}

/// A model and how to import it.
struct Case {
    name: String,
    xml: String,
    bin: Vec<u8>,
    options: ImportOptions,
}

impl Case {
    fn read(path: &Path) -> Result<Case, Failed> {
        let xml = std::fs::read_to_string(path)?;
        let name = format!("{}.xml", stem(path));
        let bin = directive(&xml, "bin").map(|text| bin(&text)).transpose()?.unwrap_or_default();
        let options = directive(&xml, "options").map(|text| options(&text)).transpose()?.unwrap_or_default();
        Ok(Case { name, xml, bin, options })
    }
}

fn directive(xml: &str, name: &str) -> Option<String> {
    let text = xml.split_once(&format!("<!-- {name}:"))?.1.split_once("-->")?.0;
    Some(text.trim().to_owned())
}

fn bin(text: &str) -> Result<Vec<u8>, Failed> {
    let mut bytes = Vec::new();
    for piece in text.split('|') {
        let mut words = piece.split_whitespace();
        let kind = words.next().unwrap_or_default();
        for word in words {
            match kind {
                "f32" => bytes.extend(word.parse::<f32>()?.to_le_bytes()),
                "f64" => bytes.extend(word.parse::<f64>()?.to_le_bytes()),
                "f16" => bytes.extend(half::f16::from_f32(word.parse()?).to_le_bytes()),
                "i64" => bytes.extend(word.parse::<i64>()?.to_le_bytes()),
                "u64" => bytes.extend(word.parse::<u64>()?.to_le_bytes()),
                "i32" => bytes.extend(word.parse::<i32>()?.to_le_bytes()),
                "u32" => bytes.extend(word.parse::<u32>()?.to_le_bytes()),
                "i16" => bytes.extend(word.parse::<i16>()?.to_le_bytes()),
                "u16" => bytes.extend(word.parse::<u16>()?.to_le_bytes()),
                "i8" => bytes.extend(word.parse::<i8>()?.to_le_bytes()),
                "u8" | "boolean" | "bytes" => bytes.push(word.parse()?),
                other => return Err(format!("unknown piece {other}").into()),
            }
        }
    }
    Ok(bytes)
}

fn options(text: &str) -> Result<ImportOptions, Failed> {
    let mut options = ImportOptions::default();
    let mut words = text.split_whitespace();
    while let (Some(flag), Some(value)) = (words.next(), words.next()) {
        match flag {
            "batch" => options.batch = Some(value.parse()?),
            "name" => options.name = Some(value.to_owned()),
            "shape" => {
                let (name, dims) = value.split_once('=').ok_or("--shape without =")?;
                let dims = dims.split(',').map(str::parse).collect::<Result<_, _>>()?;
                options.shapes.push((name.to_owned(), dims));
            }
            other => return Err(format!("unknown option {other}").into()),
        }
    }
    Ok(options)
}

fn compare(path: &Path, text: &str) -> Result<(), Failed> {
    let expected = path.with_extension("txt");
    if std::env::var_os("BLESS").is_some() {
        return Ok(std::fs::write(expected, text)?);
    }
    let wanted = std::fs::read_to_string(&expected).unwrap_or_default();
    if wanted == text {
        return Ok(());
    }
    Err(format!("differs from {} (BLESS=1 rewrites it)\n--- expected\n{wanted}\n--- got\n{text}", stem(path)).into())
}

fn zoo_trials() -> Vec<Trial> {
    let Some(zoo) = std::env::var_os("OCTET_ZOO") else {
        eprintln!("skipped: the models of the zoo, because OCTET_ZOO is not set");
        return Vec::new();
    };
    let folders = |path: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
        folders.sort();
        folders
    };
    let models =
        folders(Path::new(&zoo)).into_iter().flat_map(|group| folders(&group)).map(|model| model.join("model.xml"));
    let trial = |path: PathBuf| {
        let name = format!("zoo/{}", stem(path.parent().unwrap_or(&path)));
        Trial::test(name, move || {
            let graph = import_files(&path, &ImportOptions::default()).map_err(|problems| problems.to_string())?;
            verify(&graph).map_err(|errors| errors.in_text(&graph, &PrintOptions::log()).into())
        })
    };
    models.filter(|path| path.exists()).map(trial).collect()
}

/// Files of a folder, sorted.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|own| own == extension));
    files.sort();
    files
}

fn stem(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}
