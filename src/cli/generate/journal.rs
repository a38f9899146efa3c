//! The journal of the generators: the files that each command wrote or changed, so that the command can be undone.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use loco_rs::{Error, Result};
use serde::{Deserialize, Serialize};

/// The folders in which generators write.
const FOLDERS: [&str; 3] = ["migration/src", "src", "tests"];

/// The number of commands that the journal keeps.
const MAX_ENTRIES: usize = 50;

/// The source files of the project, by path.
pub(super) type Sources = BTreeMap<PathBuf, String>;

/// The commands that can be undone, the last one last.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Journal {
    entries: Vec<JournalEntry>,
    /// `true` if [`Journal::load`] has added the entry of the command that had begun.
    #[serde(skip)]
    has_new_entry: bool,
}

/// One command of a generator.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct JournalEntry {
    /// The arguments.
    pub command: String,
    /// The names of the new migrations.
    pub migrations: Vec<String>,
    files: Vec<ChangedFile>,
}

/// A file that a command wrote or changed.
#[derive(Debug, Serialize, Deserialize)]
struct ChangedFile {
    path: PathBuf,
    /// `None`: the file is new.
    before: Option<String>,
    after: String,
}

/// The steps that undo a command.
pub(super) struct UndoPlan {
    /// Files to delete.
    pub deletions: Vec<PathBuf>,
    /// Files to write, with their content.
    pub writes: Vec<(PathBuf, String)>,
    /// Files whose changes since the command would be lost.
    pub conflicts: Vec<PathBuf>,
}

/// A command that has begun.
#[derive(Debug, Serialize, Deserialize)]
struct PendingCommand {
    command: String,
    before: Sources,
}

/// Reads the source files. Links are not followed.
///
/// # Errors
/// When a file cannot be read. The text names the file.
pub(super) fn read_sources() -> Result<Sources> {
    let mut sources = Sources::new();
    let mut folders: Vec<PathBuf> = FOLDERS.iter().map(PathBuf::from).collect();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            let is_source = path.extension().is_some_and(|extension| extension == "rs");
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() && is_source {
                let text = fs::read_to_string(&path)
                    .map_err(|error| Error::Message(format!("{}: {error}", path.display())))?;
                sources.insert(path, text);
            }
        }
    }
    Ok(sources)
}

impl JournalEntry {
    /// The entry of a command that has changed the files from `before` to `after`.
    pub fn new(command: String, before: &Sources, after: Sources) -> Self {
        let files: Vec<_> = after
            .into_iter()
            .filter(|(path, text)| before.get(path) != Some(text))
            .map(|(path, after)| ChangedFile {
                before: before.get(&path).cloned(),
                path,
                after,
            })
            .collect();
        let migrations = files
            .iter()
            .filter(|file| file.before.is_none() && file.path.starts_with("migration/src"))
            .filter_map(|file| Some(file.path.file_stem()?.to_str()?.to_owned()));
        Self {
            command,
            migrations: migrations.collect(),
            files,
        }
    }

    /// The new files.
    pub fn created(&self) -> impl Iterator<Item = &Path> {
        let new = self.files.iter().filter(|file| file.before.is_none());
        new.map(|file| file.path.as_path())
    }

    /// The files that existed before.
    pub fn changed(&self) -> impl Iterator<Item = &Path> {
        let changed = self.files.iter().filter(|file| file.before.is_some());
        changed.map(|file| file.path.as_path())
    }

    /// Returns the steps that undo the command in the files as they are now.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn plan_undo(&self) -> Result<UndoPlan> {
        let mut plan = UndoPlan {
            deletions: Vec::new(),
            writes: Vec::new(),
            conflicts: Vec::new(),
        };
        for file in &self.files {
            if !file.path.exists() {
                // A new file that was deleted by hand needs no step. Another file may have been moved.
                if let Some(before) = &file.before {
                    plan.conflicts.push(file.path.clone());
                    plan.writes.push((file.path.clone(), before.clone()));
                }
                continue;
            }
            let current = fs::read_to_string(&file.path)?;
            match &file.before {
                None if current == file.after => plan.deletions.push(file.path.clone()),
                None => {
                    plan.conflicts.push(file.path.clone());
                    plan.deletions.push(file.path.clone());
                }
                Some(before) => {
                    let undone = remove_insertions(before, &file.after, &current);
                    if undone.is_none() {
                        plan.conflicts.push(file.path.clone());
                    }
                    plan.writes
                        .push((file.path.clone(), undone.unwrap_or_else(|| before.clone())));
                }
            }
        }
        Ok(plan)
    }
}

impl Journal {
    /// Notes that a command begins. If the command is interrupted, [`Journal::load`] makes it the last entry.
    ///
    /// # Errors
    /// When the note cannot be written.
    pub fn begin(command: String, before: &Sources) -> Result<()> {
        // A command that was interrupted earlier gets its entry first.
        Self::load()?;
        let pending = PendingCommand {
            command,
            before: before.clone(),
        };
        let text = serde_json::to_string(&pending).map_err(Error::wrap)?;
        fs::write(pending_path(), text)?;
        Ok(())
    }

    /// Reads the journal, and adds the command that has begun. A journal that does not exist or cannot be read is
    /// empty.
    ///
    /// # Errors
    /// When a source file cannot be read, or the journal cannot be written.
    pub fn load() -> Result<Self> {
        let text = fs::read_to_string(journal_path()).unwrap_or_default();
        let mut journal: Self = serde_json::from_str(&text).unwrap_or_default();
        let pending = fs::read_to_string(pending_path()).unwrap_or_default();
        if let Ok(PendingCommand { command, before }) = serde_json::from_str(&pending) {
            let entry = JournalEntry::new(command, &before, read_sources()?);
            // A command that wrote no file has nothing to undo.
            if !entry.files.is_empty() {
                journal.push(entry)?;
                journal.has_new_entry = true;
            }
            fs::remove_file(pending_path())?;
        }
        Ok(journal)
    }

    /// The last command.
    pub fn last(&self) -> Option<&JournalEntry> {
        self.entries.last()
    }

    /// The command that has begun, if it wrote files.
    pub fn new_entry(&self) -> Option<&JournalEntry> {
        self.last().filter(|_| self.has_new_entry)
    }

    /// Adds a command, and writes the journal.
    ///
    /// # Errors
    /// When the journal cannot be written.
    fn push(&mut self, entry: JournalEntry) -> Result<()> {
        self.entries.push(entry);
        let surplus = self.entries.len().saturating_sub(MAX_ENTRIES);
        self.entries.drain(..surplus);
        self.save()
    }

    /// Removes the last command, and writes the journal.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn pop(&mut self) -> Result<()> {
        self.entries.pop();
        self.save()
    }

    fn save(&self) -> Result<()> {
        let path = journal_path();
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let text = serde_json::to_string(self).map_err(Error::wrap)?;
        fs::write(path, text)?;
        Ok(())
    }
}

/// Returns the folder of the journal and of the log of the last command.
///
/// The folder is in the project, because several projects may share one `CARGO_TARGET_DIR`.
pub(super) fn work_folder() -> PathBuf {
    Path::new("target").join("generate")
}

fn journal_path() -> PathBuf {
    work_folder().join("journal.json")
}

fn pending_path() -> PathBuf {
    work_folder().join("pending.json")
}

/// Removes the lines from a text that a command has inserted. Returns `None` if the command did more than insert
/// lines, or if the lines are not found exactly once.
fn remove_insertions(before: &str, after: &str, current: &str) -> Option<String> {
    if current == after {
        return Some(before.to_owned());
    }
    let mut lines: Vec<&str> = current.split_inclusive('\n').collect();
    for block in insertions(before, after)? {
        let block: Vec<&str> = block.split_inclusive('\n').collect();
        let mut places =
            (0..lines.len()).filter(|place| lines.get(*place..place + block.len()) == Some(&block));
        let (place, None) = (places.next()?, places.next()) else {
            return None;
        };
        lines.drain(place..place + block.len());
    }
    Some(lines.concat())
}

/// Returns the blocks of lines that must be inserted into `before` to get `after`; `None` if lines were removed.
fn insertions(before: &str, after: &str) -> Option<Vec<String>> {
    let mut blocks = Vec::new();
    let mut block = String::new();
    let mut old_lines = before.split_inclusive('\n').peekable();
    for line in after.split_inclusive('\n') {
        if old_lines.peek() == Some(&line) {
            old_lines.next();
            if !block.is_empty() {
                blocks.push(std::mem::take(&mut block));
            }
        } else {
            block.push_str(line);
        }
    }
    if !block.is_empty() {
        blocks.push(block);
    }
    old_lines.peek().is_none().then_some(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inserted_lines_are_removed_from_a_file_that_has_changed_since() {
        let (before, after) = ("a\nb\nc\n", "a\nnew\nb\nc\nlast\n");
        for (current, undone) in [
            (after, Some(before)),
            ("a\nnew\nb\nmine\nc\nlast\n", Some("a\nb\nmine\nc\n")),
            // The line was changed, or is there twice.
            ("a\nnew!\nb\nc\nlast\n", None),
            ("a\nnew\nb\nnew\nc\nlast\n", None),
            // The line is a part of another line now.
            ("a\npub new\nb\nc\nlast\n", None),
            ("a\n//new\nb\nc\nlast\n", None),
        ] {
            let result = remove_insertions(before, after, current);
            assert_eq!(result.as_deref(), undone, "{current}");
        }
    }

    #[test]
    fn a_rewritten_file_is_restored_only_if_it_is_unchanged() {
        assert_eq!(
            remove_insertions("a\nb\n", "a\nc\n", "a\nc\n").as_deref(),
            Some("a\nb\n")
        );
        assert_eq!(remove_insertions("a\nb\n", "a\nc\n", "a\nc\nmine\n"), None);
    }
}
