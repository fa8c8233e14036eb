//! Examples at the end of each command's help. `tests/cli/readme.rs` runs all that begin with `octet`.

pub const OCTET: &str = "\
Examples:
  octet demo                              see it work, on handwritten digits
  octet compile model.xml -o app          a program
  ./app run --input x.npy                 runs the model
  octet explain model.xml                 what is in INT8, what is not and why

Exit codes:
  0 ok   1 mismatch or threshold missed   2 wrong usage   3 unsupported model
  4 a file cannot be read or written      5 internal error

Errors have codes: `octet explain-code E0305` says more about one.";

pub const COMPILE: &str = "\
Examples:
  octet compile model.xml                               a program called model, for this CPU
  octet compile model.xml --emit obj,header -o model.o  for your own program in C, C++, Rust, ...
  octet compile model.xml --cpu x86-64-v2,x86-64-v3,avx512vnni -o app
                                                        three versions; the best is chosen when it runs
  octet compile model.xml --batch 8 --report page.html  eight images at once, and what became of each layer
  octet compile model.xml --require-int8 99 --max-workspace 8MiB
                                                        fails, with reasons, rather than be slow or large
  octet compile model.xml --tune tuned.json             measures which forms of layers are the fastest here
  octet compile model.xml --tuning tuned.json           compiles with what was measured, always the same";

pub const RUN: &str = "\
Examples:
  octet run model.xml --input x.npy                     prints what the outputs look like
  octet run model.xml --input x.npy --output y.npy      in the model's order ...
  octet run model.xml --input x=x.npy --output y=y.npy  ... or by name";

pub const BENCH: &str = "\
Examples:
  octet bench model.xml --threads 1                     latency on one thread, for three seconds
  octet bench model.xml --iterations 50 --profile       a row for each layer
  octet bench model.xml --duration 1 --json bench.json  numbers for programs";

pub const EXPLAIN: &str = "\
Examples:
  octet explain model.xml                               a row for each layer, and the reasons for float
  octet explain model.xml --html page.html              the same as a drawing
  octet explain model.xml --cpu x86-64-v2 --json        another CPU; for programs";

pub const OPT: &str = "\
Examples:
  octet opt model.xml                                   the graph as text
  octet opt model.xml --passes all -o low.oir           after the compiler's passes; low.oir can be compiled
  octet opt low.oir --passes dce --dot                  one pass, as Graphviz
  octet opt --list                                      the passes";

pub const CHECK: &str = "\
Examples:
  octet check model.xml                                 supported? all problems at once, with lines
  octet check model.xml --json                          for programs";

pub const DEMO: &str = "\
Examples:
  octet demo                                            compiles a network and reads handwritten digits
  octet demo --keep demo                                leaves model, program and digits in a directory";

pub const EXPLAIN_CODE: &str = "\
Examples:
  octet explain-code E0305                              cause, example and remedy of an error
  octet explain-code                                    all codes";

pub const COMPLETIONS: &str = "\
Examples:
  octet completions bash > ~/.local/share/bash-completion/completions/octet
  octet completions zsh > ~/.zfunc/_octet
  octet completions fish > ~/.config/fish/completions/octet.fish";

pub const MAN: &str = "\
Examples:
  octet man man1                                        then: man ./man1/octet-compile.1";

pub const CMAKE: &str = "\
Examples:
  octet cmake cmake/                                    then: find_package(octet PATHS cmake) in CMakeLists.txt";
