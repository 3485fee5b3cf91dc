//! Which method needs which role: the one table. A test walks the published descriptors and finds a
//! row for every method in them; what has no row is refused to everybody.
use super::role::{Role, Roles};

/// Who may call a method.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// Everybody, also without a token: for probes of an orchestrator.
    Nobody,
    /// Everybody with a role, whichever it is.
    Anyone,
    /// Who has this role, and administrators.
    Role(Role),
}

/// What a method is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// One pool, which the request names: who is bound to pools may call it for these.
    Pool,
    /// The service as a whole: who is bound to pools may not call it.
    Service,
}

/// One row of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Permission {
    /// `/package.Service/Method`.
    pub path: &'static str,
    /// Who may call it.
    pub need: Need,
    /// What it is about.
    pub scope: Scope,
}

/// All methods.
pub const PERMISSIONS: &[Permission] = &[
    drawer("/rewardpool.v1.RewardPool/Draw"),
    drawer("/rewardpool.v1.RewardPool/DrawStream"),
    drawer("/rewardpool.v1.RewardPool/GetDraw"),
    reader("/rewardpool.v1.RewardPool/GetState", Scope::Pool),
    reader("/rewardpool.v1.RewardPool/WatchState", Scope::Pool),
    reader("/rewardpool.v1.RewardPool/ListPools", Scope::Service),
    drawer("/rewardpool.RewardPoolService/Draw"),
    reader("/rewardpool.RewardPoolService/GetState", Scope::Pool),
    admin("/rewardpool.v1.PoolAdmin/CreatePool", Scope::Pool),
    admin("/rewardpool.v1.PoolAdmin/UpdateItem", Scope::Pool),
    admin("/rewardpool.v1.PoolAdmin/AddItem", Scope::Pool),
    admin("/rewardpool.v1.PoolAdmin/RetireItem", Scope::Pool),
    admin("/rewardpool.v1.PoolAdmin/PausePool", Scope::Pool),
    admin("/rewardpool.v1.PoolAdmin/ResumePool", Scope::Pool),
    admin("/rewardpool.v1.PoolAdmin/ClosePool", Scope::Pool),
    admin("/rewardpool.v1.PoolAdmin/TakeSnapshot", Scope::Service),
    admin("/rewardpool.v1.PoolAdmin/Backup", Scope::Service),
    admin("/rewardpool.v1.PoolAdmin/GetStatus", Scope::Service),
    admin("/rewardpool.v1.PoolAdmin/WatchLog", Scope::Service),
    // The whole log: all pools, and everything that was ever drawn.
    admin("/rewardpool.v1.WalStream/Subscribe", Scope::Service),
    admin("/rewardpool.v1.WalStream/Promote", Scope::Service),
    // A probe asks once and has no token; a stream stays, so it needs one.
    row("/grpc.health.v1.Health/Check", Need::Nobody, Scope::Pool),
    row("/grpc.health.v1.Health/Watch", Need::Anyone, Scope::Pool),
    row("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Need::Anyone, Scope::Pool),
];

const fn row(path: &'static str, need: Need, scope: Scope) -> Permission {
    Permission { path, need, scope }
}

const fn drawer(path: &'static str) -> Permission {
    row(path, Need::Role(Role::Drawer), Scope::Pool)
}

const fn reader(path: &'static str, scope: Scope) -> Permission {
    row(path, Need::Role(Role::Reader), scope)
}

const fn admin(path: &'static str, scope: Scope) -> Permission {
    row(path, Need::Role(Role::Admin), scope)
}

impl Permission {
    /// The row of a method.
    pub fn of(path: &str) -> Option<&'static Self> {
        PERMISSIONS.iter().find(|permission| permission.path == path)
    }

    /// Whether somebody with these roles may call it.
    pub const fn is_given_to(&self, roles: Roles) -> bool {
        match self.need {
            Need::Nobody | Need::Anyone => true,
            Need::Role(role) => roles.has(role) || roles.has(Role::Admin),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message as _;

    use super::*;

    /// The paths of all methods of a descriptor set.
    fn methods(encoded: &[u8]) -> Vec<String> {
        let set = prost_types::FileDescriptorSet::decode(encoded).expect("it is generated");
        let mut paths = Vec::new();
        for file in &set.file {
            for service in &file.service {
                for method in &service.method {
                    let (package, name) = (file.package(), service.name());
                    paths.push(format!("/{package}.{name}/{}", method.name()));
                }
            }
        }
        assert!(!paths.is_empty());
        paths
    }

    #[test]
    fn every_method_that_is_served_has_one_row_and_no_row_is_left_over() {
        let mut served: BTreeSet<String> = BTreeSet::new();
        for set in [
            rewardpool_proto::FILE_DESCRIPTOR_SET,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        ] {
            served.extend(methods(set));
        }
        let rows: Vec<&str> = PERMISSIONS.iter().map(|permission| permission.path).collect();
        assert_eq!(rows.len(), served.len());
        assert_eq!(rows.iter().map(|&path| path.to_owned()).collect::<BTreeSet<_>>(), served);
    }

    #[test]
    fn only_administrators_change_things_and_drawers_see_no_odds() {
        let only = |role| Roles::default().with(role);
        for permission in PERMISSIONS {
            let path = permission.path;
            assert!(permission.is_given_to(only(Role::Admin)), "{path}");
            if path.contains("PoolAdmin/") {
                assert!(!permission.is_given_to(only(Role::Drawer).with(Role::Reader)), "{path}");
            }
            if path.contains("State") || path.ends_with("ListPools") {
                assert!(!permission.is_given_to(only(Role::Drawer)), "{path}");
            }
            if path.ends_with("Draw") || path.ends_with("DrawStream") {
                assert!(!permission.is_given_to(only(Role::Reader)), "{path}");
            }
        }
    }
}
