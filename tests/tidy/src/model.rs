//! What the rules look at.

/// The layers of ARCHITECTURE.md, by folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    Kernel,
    Domain,
    Schemas,
    Platform,
    Projections,
    Services,
    Tests,
}

impl Layer {
    /// The layer of a folder such as `platform/log`.
    pub fn of(folder: &str) -> Option<Self> {
        let top = folder.split('/').next().unwrap_or_default();
        match top {
            _ if folder == "domain/kernel" => Some(Self::Kernel),
            "domain" => Some(Self::Domain),
            "schemas" => Some(Self::Schemas),
            "platform" => Some(Self::Platform),
            "projections" => Some(Self::Projections),
            "services" => Some(Self::Services),
            "tests" => Some(Self::Tests),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    pub name: String,
    /// From the root of the workspace: `platform/log`.
    pub folder: String,
    pub dependencies: Vec<Dependency>,
}

impl Package {
    pub fn layer(&self) -> Option<Layer> {
        Layer::of(&self.folder)
    }

    pub fn manifest(&self) -> String {
        format!("{}/Cargo.toml", self.folder)
    }

    pub fn depends_on(&self, name: &str) -> bool {
        self.dependencies
            .iter()
            .any(|dependency| dependency.name == name)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    pub name: String,
    /// Its folder, when it is a member of the workspace.
    pub folder: Option<String>,
    /// For tests or build scripts only.
    pub dev: bool,
}

/// A file of the work tree that is not ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceFile {
    /// From the root, with `/`.
    pub path: String,
    pub text: String,
}

impl WorkspaceFile {
    pub fn lines(&self) -> usize {
        self.text.lines().count()
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Workspace {
    pub packages: Vec<Package>,
    pub files: Vec<WorkspaceFile>,
}

impl Workspace {
    pub fn has_file(&self, path: &str) -> bool {
        self.files.iter().any(|file| file.path == path)
    }

    pub fn file(&self, path: &str) -> Option<&WorkspaceFile> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Files below a folder.
    pub fn below<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a WorkspaceFile> {
        self.files.iter().filter(move |file| {
            file.path
                .strip_prefix(folder)
                .is_some_and(|rest| rest.starts_with('/'))
        })
    }

    /// Packages of one layer.
    pub fn of_layer(&self, layer: Layer) -> impl Iterator<Item = &Package> {
        self.packages
            .iter()
            .filter(move |package| package.layer() == Some(layer))
    }
}

#[cfg(test)]
pub(crate) mod plant {
    //! Small workspaces for the rules' own tests.

    use super::*;

    pub(crate) fn package(folder: &str, dependencies: &[&str]) -> Package {
        Package {
            name: folder.replace('/', "-"),
            folder: folder.to_owned(),
            dependencies: dependencies.iter().map(|name| dependency(name)).collect(),
        }
    }

    /// `domain/kernel` is a member, `rdkafka` is not.
    pub(crate) fn dependency(name: &str) -> Dependency {
        let member = Layer::of(name).is_some();
        Dependency {
            name: name.replace('/', "-"),
            folder: member.then(|| name.to_owned()),
            dev: false,
        }
    }

    pub(crate) fn file(path: &str, text: &str) -> WorkspaceFile {
        WorkspaceFile {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    pub(crate) fn packages(packages: Vec<Package>) -> Workspace {
        Workspace {
            packages,
            files: Vec::new(),
        }
    }

    pub(crate) fn files(paths: &[&str]) -> Workspace {
        Workspace {
            packages: Vec::new(),
            files: paths.iter().map(|path| file(path, "")).collect(),
        }
    }
}
