//! What somebody is to the service.
use std::fmt;

/// One role.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Sees pools, their items and odds.
    Reader,
    /// Draws, and sees nothing but its own draws.
    Drawer,
    /// May do everything.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Reader, Self::Drawer, Self::Admin];

    /// The name in the tokens file and in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Drawer => "drawer",
            Self::Admin => "admin",
        }
    }

    /// The role of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Reader => 1,
            Self::Drawer => 2,
            Self::Admin => 4,
        }
    }
}

/// Any number of roles.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Roles(u8);

impl Roles {
    /// These, and one more.
    #[must_use]
    pub const fn with(self, role: Role) -> Self {
        Self(self.0 | role.bit())
    }

    /// Whether this role is one of them.
    pub const fn has(self, role: Role) -> bool {
        self.0 & role.bit() != 0
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let roles = Role::ALL.into_iter().filter(|role| self.has(*role));
        for (index, role) in roles.enumerate() {
            write!(f, "{}{}", if index == 0 { "" } else { ", " }, role.name())?;
        }
        Ok(())
    }
}
