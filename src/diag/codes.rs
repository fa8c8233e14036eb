//! The codes of errors, and what `octet explain-code` says about each.
//!
//! A code is forever: it may be retired, never given to another problem. Its first digit is the exit code of the command
//! that fails with it; `00` of each hundred stands for what has no code of its own.

use super::Kind;

/// What an error is about, however the message puts it.
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    /// `E` and four digits.
    pub id: &'static str,
    /// The problem in a few words.
    pub title: &'static str,
    /// How it comes about. Lines as they are printed.
    pub cause: &'static str,
    /// A command, or a piece of a model, that shows it.
    pub example: &'static str,
    pub remedy: &'static str,
}

impl Code {
    /// Decided by the first digit.
    pub fn kind(&self) -> Kind {
        match self.id.as_bytes()[2] {
            b'1' => Kind::Threshold,
            b'2' => Kind::Usage,
            b'3' => Kind::Model,
            b'4' => Kind::Io,
            _ => Kind::Internal,
        }
    }

    /// The code called `id`, in capitals or not, with or without its letter: `E0306`, `e0306`, `0306`.
    pub fn find(id: &str) -> Option<&'static Code> {
        let digits = id.trim_start_matches(['E', 'e']);
        ALL.iter().copied().find(|code| &code.id[1..] == digits)
    }
}

impl From<Kind> for &'static Code {
    /// The general code of a kind.
    fn from(kind: Kind) -> &'static Code {
        match kind {
            Kind::Threshold => &THRESHOLD,
            Kind::Usage => &COMMAND_LINE,
            Kind::Model => &MODEL,
            Kind::Io => &IO,
            Kind::Internal => &INTERNAL,
        }
    }
}

/// All of them, by number.
pub static ALL: [&Code; 32] = [
    &THRESHOLD,
    &LITTLE_INT8,
    &LARGE_WORKSPACE,
    &COMMAND_LINE,
    &UNKNOWN_CPU,
    &NO_IDENTIFIER,
    &NO_MODEL_FILE,
    &FIXED_SHAPES,
    &WRONG_SHAPE_OPTION,
    &UNKNOWN_PASS,
    &OTHER_MACHINE,
    &UNKNOWN_CODE,
    &UNKNOWN_REPORT,
    &WRONG_TUNING,
    &MODEL,
    &NOT_TEXT,
    &NOT_XML,
    &NOT_IR,
    &BROKEN_NETWORK,
    &UNSUPPORTED_LAYER,
    &WRONG_LAYER,
    &LARGE_SHAPE,
    &OPEN_SHAPE,
    &NO_RESULT,
    &TEXT_DUMP,
    &NO_KERNEL,
    &IO,
    &UNREADABLE,
    &UNWRITABLE,
    &NOT_RUNNABLE,
    &NO_C_COMPILER,
    &INTERNAL,
];

pub static THRESHOLD: Code = Code {
    id: "E0100",
    title: "a requirement is not met",
    cause: "The model compiles, but not as well as the command line requires.",
    example: "octet compile model.xml --require-int8 100",
    remedy: "Change the model, or the requirement.",
};

pub static LITTLE_INT8: Code = Code {
    id: "E0101",
    title: "too little of the model is in INT8",
    cause: "\
A smaller share of the multiply-accumulates than --require-int8 asks for is computed in 8-bit integers. The notes below
the error list the layers that multiply in float, each with the reason why.",
    example: "octet compile model.xml --require-int8 99",
    remedy: "\
Quantize those layers too: both operands of a multiplication need a FakeQuantize (NNCF leaves layers out that its
ignored_scope names). `octet explain model.xml --html page.html` draws where float begins and ends.",
};

pub static LARGE_WORKSPACE: Code = Code {
    id: "E0102",
    title: "the workspace is larger than allowed",
    cause: "\
One inference needs more memory for intermediate results than --max-workspace allows. The notes below the error list
the buffers that live at the step where most is needed.",
    example: "octet compile model.xml --max-workspace 512KiB",
    remedy: "\
Make the input or the batch smaller (--shape, --batch), or reduce the channels of the layers at the peak. Layers in
float take four times the memory of INT8 ones: see `octet explain`.",
};

pub static COMMAND_LINE: Code = Code {
    id: "E0200",
    title: "wrong command line",
    cause: "An option or argument is unknown, missing, given twice, or has a value it does not take.",
    example: "octet compile model.xml --emit wasm",
    remedy: "`octet --help` lists the commands, `octet COMMAND --help` the options of one, with examples.",
};

pub static UNKNOWN_CPU: Code = Code {
    id: "E0201",
    title: "unknown CPU, feature or target",
    cause: "\
--cpu takes levels (x86-64-v2, x86-64-v3, x86-64-v4, generic on aarch64), `native`, names of features, and +feature or
-feature behind one of them. --target takes x86_64-unknown-linux-gnu and aarch64-unknown-linux-gnu.",
    example: "octet compile model.xml --cpu skylake",
    remedy: "\
Name the level of the oldest CPU that shall run the program; x86-64-v3 is any with AVX2. Several, separated by commas,
make one object with a version for each: --cpu x86-64-v2,x86-64-v3,avx512vnni.",
};

pub static NO_IDENTIFIER: Code = Code {
    id: "E0202",
    title: "a name that cannot begin a symbol",
    cause: "The functions of the model in C begin with --name, so it must be an identifier of C, and no keyword.",
    example: "octet compile model.xml --name 3d-net",
    remedy: "Use letters, digits and underscores, beginning with a letter.",
};

pub static NO_MODEL_FILE: Code = Code {
    id: "E0203",
    title: "not a model's file name",
    cause: "Models are recognised by the extension of their file: .xml for OpenVINO IR, .oir for text dumps.",
    example: "octet compile model.onnx",
    remedy: "\
Convert the model first: `ovc model.onnx` (in the Python package openvino) writes model.xml and model.bin. Quantize it
with NNCF before, or it will compute in float.",
};

pub static FIXED_SHAPES: Code = Code {
    id: "E0204",
    title: "a text dump has the shapes it has",
    cause: "--batch and --shape choose shapes while an OpenVINO model is read. A text dump was written after that.",
    example: "octet compile dump.oir --batch 8",
    remedy: "Give the options where the dump is made: octet opt model.xml --batch 8 -o dump.oir",
};

pub static WRONG_SHAPE_OPTION: Code = Code {
    id: "E0205",
    title: "a shape for no input, or of another rank",
    cause: "--shape must name an input of the model, once, and give one number per dimension of it.",
    example: "octet compile model.xml --shape picture=[1,3,224,224]",
    remedy: "The error lists the names of the inputs; `octet check model.xml` prints them with their types.",
};

pub static UNKNOWN_PASS: Code = Code {
    id: "E0206",
    title: "unknown pass",
    cause: "A name in --passes, --print-after, --stop-after or --disable-pass is no pass.",
    example: "octet opt model.xml --passes magic",
    remedy: "`octet opt --list` lists the passes.",
};

pub static OTHER_MACHINE: Code = Code {
    id: "E0207",
    title: "made for another machine",
    cause: "\
The command would run, or link, code for another architecture than this machine's: `run` and `bench` run what they
compile, a program needs a prebuilt part for its architecture, and shared libraries need a linker for it.",
    example: "octet bench model.xml --target aarch64-unknown-linux-gnu    (on x86-64)",
    remedy: "Use `octet compile --emit obj,header`, link on the other machine or with a cross compiler, run there.",
};

pub static UNKNOWN_CODE: Code = Code {
    id: "E0208",
    title: "unknown error code",
    cause: "Codes are E and four digits, as they stand in brackets behind `error`.",
    example: "octet explain-code E9999",
    remedy: "`octet explain-code` without a code lists them all.",
};

pub static UNKNOWN_REPORT: Code = Code {
    id: "E0209",
    title: "a report of an unknown kind",
    cause: "The extension of --report decides what is written: .html is a page for browsers, .json is for programs.",
    example: "octet compile model.xml --report report.pdf",
    remedy: "Name a file that ends with .html or .json.",
};

pub static WRONG_TUNING: Code = Code {
    id: "E0210",
    title: "a tuning file that cannot be used",
    cause: "\
The file of --tuning is damaged, is of another version of Octet, names forms of layers that this Octet does not have,
or was measured for other CPUs than the one of --cpu: what is fast on one may be slow on another.",
    example: "octet compile model.xml --cpu x86-64-v2 --tuning measured-for-x86-64-v3.json",
    remedy: "\
Measure on the machine that shall run the model, with the same --cpu: octet compile model.xml --tune FILE. It adds to
a file that is there, so one file can serve several CPUs and models.",
};

pub static MODEL: Code = Code {
    id: "E0300",
    title: "the model is not supported",
    cause: "The model is damaged, or it uses what Octet does not support; the message says which.",
    example: "octet check model.xml",
    remedy: "The help below the message says what to do; all problems that could be found are listed at once.",
};

pub static NOT_TEXT: Code = Code {
    id: "E0301",
    title: "the model's file is not text",
    cause: "An .xml file that is not UTF-8 text: perhaps an archive, or another file under that name.",
    example: "octet check model.bin.xml",
    remedy: "Give the .xml file of an OpenVINO IR.",
};

pub static NOT_XML: Code = Code {
    id: "E0302",
    title: "not well-formed XML",
    cause: "The file ends too early, or was changed by hand.",
    example: "<net name=\"model\"><layers>",
    remedy: "Export the model again. The line in the message is where the text stops to make sense.",
};

pub static NOT_IR: Code = Code {
    id: "E0303",
    title: "not an OpenVINO IR of a known version",
    cause: "The XML does not have the elements and attributes of an IR of version 10 or newer.",
    example: "<html/>",
    remedy: "Give the .xml file of an OpenVINO IR; convert old models again with OpenVINO 2022 or newer.",
};

pub static BROKEN_NETWORK: Code = Code {
    id: "E0304",
    title: "the layers are not connected to a network",
    cause: "An edge begins or ends nowhere, an input has none or two, or the edges form a cycle.",
    example: "<edge from-layer=\"4711\" from-port=\"0\" to-layer=\"3\" to-port=\"0\"/>",
    remedy: "The file is damaged: export the model again.",
};

pub static UNSUPPORTED_LAYER: Code = Code {
    id: "E0305",
    title: "a layer type is not supported",
    cause: "\
The model has layers of a type, or of a version of a type, that Octet cannot read. Each is listed once, with all layers
of it and their lines.",
    example: "<layer id=\"7\" name=\"nms\" type=\"NonMaxSuppression\" version=\"opset9\">",
    remedy: "\
Cut the model before those layers (ovc --output, or openvino.Model in Python) and compute them in your program, or
replace them. Post-processing of detectors is the usual case.",
};

pub static WRONG_LAYER: Code = Code {
    id: "E0306",
    title: "a layer cannot be read",
    cause: "\
A layer of a known type has inputs or attributes that contradict each other or its type, data outside the .bin file, or
a form that is not supported. With --shape or --batch the new shape may not fit the layers.",
    example: "octet check model.xml --shape image=[1,2,8,8]    (where the first convolution takes one channel)",
    remedy: "Without --shape: export the model again. With it: choose a shape that the layers take.",
};

pub static LARGE_SHAPE: Code = Code {
    id: "E0307",
    title: "an input is absurdly large",
    cause: "The dimensions of an input multiply to more elements than a tensor may have.",
    example: "octet check model.xml --shape x=[1,3,4000000,4000000]",
    remedy: "Choose a smaller shape.",
};

pub static OPEN_SHAPE: Code = Code {
    id: "E0308",
    title: "a dynamic dimension has no size",
    cause: "Every size is a constant in compiled code. A dynamic batch becomes 1, other dynamic dimensions must be given.",
    example: "octet check model.xml    (where the input is [?,3,?,?])",
    remedy: "Give the shape: --shape x=[1,3,224,224]. The help below the error has the option with the right name.",
};

pub static NO_RESULT: Code = Code {
    id: "E0309",
    title: "the model computes nothing",
    cause: "There is no Result layer, or none that depends on the inputs in a way that can be computed.",
    example: "<net name=\"model\" version=\"11\"><layers/><edges/></net>",
    remedy: "Export the model again, with outputs.",
};

pub static TEXT_DUMP: Code = Code {
    id: "E0310",
    title: "a text dump does not follow the syntax",
    cause: "An .oir file has an unknown operation, a value that is not defined, or types that do not fit.",
    example: "%0 = magic %x : tensor<2xf32>",
    remedy: "docs/ir.md is the language; `octet opt model.xml` prints it.",
};

pub static NO_KERNEL: Code = Code {
    id: "E0311",
    title: "an operation has no kernel in this form",
    cause: "The operation was understood, but no kernel computes it with these types or sizes.",
    example: "octet check model.xml",
    remedy: "Please report the model. A cast or a reshape before the layer may avoid the form.",
};

pub static IO: Code = Code {
    id: "E0400",
    title: "a file cannot be used",
    cause: "The operating system refused; the message has its words.",
    example: "octet compile missing.xml",
    remedy: "Check the path, the permissions and the space.",
};

pub static UNREADABLE: Code = Code {
    id: "E0401",
    title: "a file cannot be read",
    cause: "It does not exist, may not be read, or is a directory. The weights of model.xml must be model.bin beside it.",
    example: "octet compile missing.xml",
    remedy: "Check the path; copy the .bin file too, under the same name.",
};

pub static UNWRITABLE: Code = Code {
    id: "E0402",
    title: "a file cannot be written",
    cause: "The directory does not exist, may not be written, or is full; or standard output was closed with an error.",
    example: "octet compile model.xml -o no/such/directory/app",
    remedy: "Make the directory, or name another place with -o. Temporary files go to TMPDIR.",
};

pub static NOT_RUNNABLE: Code = Code {
    id: "E0403",
    title: "a program cannot be run",
    cause: "`run`, `bench` and `demo` start the program they compiled, in the directory for temporary files.",
    example: "TMPDIR=/mnt/noexec octet bench model.xml",
    remedy: "Set TMPDIR to a directory where programs may be run.",
};

pub static NO_C_COMPILER: Code = Code {
    id: "E0404",
    title: "a shared library needs a C compiler",
    cause: "Formats and search paths of shared libraries are the system's business, so its C compiler links them.",
    example: "CC=missing octet compile model.xml --emit sharedlib",
    remedy: "Install a C compiler, or name one in the environment variable CC. --emit exe, obj and staticlib need none.",
};

pub static INTERNAL: Code = Code {
    id: "E0500",
    title: "internal error",
    cause: "A bug in Octet: it found a contradiction in what it computed, and stopped.",
    example: "(none is known)",
    remedy: "Please report it, with the model and the message.",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_order_and_complete() {
        assert!(ALL.iter().is_sorted_by(|a, b| a.id < b.id));
        let defined = include_str!("codes.rs").lines().filter(|line| line.ends_with(": Code = Code {")).count();
        assert_eq!(defined, ALL.len());
        for code in ALL {
            assert!(code.id.len() == 5 && code.id.starts_with("E0"), "{}", code.id);
            assert!(code.id[1..].bytes().all(|byte| byte.is_ascii_digit()), "{}", code.id);
            assert_eq!(code.id[2..3], code.kind().exit_code().to_string(), "{}", code.id);
            for text in [code.title, code.cause, code.example, code.remedy] {
                assert!(!text.is_empty() && text.lines().all(|line| line.chars().count() <= 120), "{}", code.id);
            }
        }
    }

    #[test]
    fn codes_are_found_however_they_are_written() {
        for id in ["E0306", "e0306", "0306"] {
            assert_eq!(Code::find(id).map(|code| code.id), Some("E0306"));
        }
        for id in ["", "E", "306", "E9999", "E0306 "] {
            assert_eq!(Code::find(id), None, "{id:?}");
        }
    }

    #[test]
    fn a_kind_has_a_general_code() {
        for kind in [Kind::Threshold, Kind::Usage, Kind::Model, Kind::Io, Kind::Internal] {
            assert_eq!(<&Code>::from(kind).kind(), kind);
        }
    }
}
