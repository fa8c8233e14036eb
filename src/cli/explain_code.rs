//! `explain-code`: what an error's code stands for.

use octet::diag::codes::{self, Code};
use octet::diag::{Diagnostic, Place};

use super::args::ExplainCodeArgs;
use super::failure::Failure;
use super::failure::print;
use super::table::{Align, table};

pub fn run(args: &ExplainCodeArgs) -> Result<(), Failure> {
    let Some(id) = &args.code else { return print(&list()) };
    let code = Code::find(id).ok_or_else(|| {
        Diagnostic::error(&codes::UNKNOWN_CODE, Place::default(), format!("there is no error code {id:?}"))
            .with_help("`octet explain-code` lists all codes")
    })?;
    print(&text(code))
}

fn text(code: &Code) -> String {
    let Code { id, title, cause, example, remedy } = code;
    let exit = code.kind().exit_code();
    format!(
        "{id}: {title}\n\n{cause}\n\nExample:\n    {example}\n\nWhat to do:\n{remedy}\n\nCommands that fail so end with exit \
         code {exit}.\n"
    )
}

fn list() -> String {
    let rows: Vec<Vec<String>> =
        codes::ALL.iter().map(|code| vec![code.id.to_owned(), code.title.to_owned()]).collect();
    table(&[("code", Align::Left), ("error", Align::Left)], &rows)
}
