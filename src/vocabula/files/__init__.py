"""Reading and writing files: outputs are complete or absent, and failures are one line."""

from vocabula.files.drafts import (
    Draft,
    new_file,
    new_files,
    new_folder,
    remove_folder,
    replace_file,
    replace_folder,
    sync_folder,
    write_bytes,
)
from vocabula.files.failures import DISK_FULL, output_error, output_errors
from vocabula.files.hidden import (
    LONGEST_NAME,
    clear_folder,
    cut_name,
    hidden_folder,
    is_hidden,
    remove_hidden,
)
from vocabula.files.locks import LOCK, locked_folder
from vocabula.files.ordered import in_stable_order
from vocabula.files.places import (
    check_apart,
    check_new_file,
    check_new_folder,
    holds_something,
    real_place,
)
from vocabula.files.reading import (
    check_plain,
    input_error,
    input_errors,
    special_kind,
    utf8_path,
)
from vocabula.files.streams import is_stream, stdout_is_taken
from vocabula.files.text import dump_json, one_line, printable, unicode_text

__all__ = [
    "DISK_FULL",
    "LOCK",
    "LONGEST_NAME",
    "Draft",
    "check_apart",
    "check_new_file",
    "check_new_folder",
    "check_plain",
    "clear_folder",
    "cut_name",
    "dump_json",
    "hidden_folder",
    "holds_something",
    "in_stable_order",
    "input_error",
    "input_errors",
    "is_hidden",
    "is_stream",
    "locked_folder",
    "new_file",
    "new_files",
    "new_folder",
    "one_line",
    "output_error",
    "output_errors",
    "printable",
    "real_place",
    "remove_folder",
    "remove_hidden",
    "replace_file",
    "replace_folder",
    "special_kind",
    "stdout_is_taken",
    "sync_folder",
    "unicode_text",
    "utf8_path",
    "write_bytes",
]
