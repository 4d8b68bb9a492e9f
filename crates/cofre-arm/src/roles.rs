//! Roles: which actions they hold, and at which scopes an assignment counts.
//!
//! Names, ids and actions are those of the published built-in roles, as far as they concern what this service has. An
//! action is `Provider/type/verb`; a `*` in a role's pattern stands for any run of characters. What no assignment allows
//! is refused.

/// A role: patterns of actions on resources, and of actions on the data in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleDefinition {
    /// The id, a GUID.
    pub id: &'static str,
    /// The name, as commands give it.
    pub name: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// What it allows.
    pub actions: &'static [&'static str],
    /// What it does not allow, though `actions` would.
    pub not_actions: &'static [&'static str],
    /// What it allows with keys and secrets in vaults of the role-based permission model.
    pub data_actions: &'static [&'static str],
}

/// Of roles that are about data and nothing else.
const DATA_ALONE: &[&str] = &[];

const ROLE_WRITES: &[&str] = &[
    "Microsoft.Authorization/*/delete",
    "Microsoft.Authorization/*/write",
    "Microsoft.Authorization/elevateAccess/action",
];

/// Reading backups, vaults and jobs.
const BACKUP_READ: &[&str] = &[
    "Microsoft.Authorization/*/read",
    "Microsoft.RecoveryServices/locations/backupStatus/action",
    "Microsoft.RecoveryServices/*/read",
    "Microsoft.Resources/subscriptions/resourceGroups/read",
    "Microsoft.Resources/subscriptions/read",
    "Microsoft.Resources/resources/read",
    "Microsoft.Storage/storageAccounts/read",
    "Microsoft.Compute/*/read",
];

/// As [`BACKUP_READ`], and everything with backups but removing them and changing policies.
const BACKUP_OPERATE: &[&str] = &[
    "Microsoft.Authorization/*/read",
    "Microsoft.RecoveryServices/*/read",
    "Microsoft.RecoveryServices/locations/backupStatus/action",
    "Microsoft.RecoveryServices/vaults/backupFabrics/*/write",
    "Microsoft.RecoveryServices/vaults/backupFabrics/*/action",
    "Microsoft.RecoveryServices/vaults/backupJobs/*",
    "Microsoft.RecoveryServices/vaults/backupconfig/*/action",
    "Microsoft.Resources/subscriptions/resourceGroups/read",
    "Microsoft.Resources/subscriptions/read",
    "Microsoft.Resources/resources/read",
    "Microsoft.Resources/deployments/*",
    "Microsoft.Storage/storageAccounts/read",
    "Microsoft.Compute/*/read",
];

const VAULT_READ: &[&str] = &[
    "Microsoft.Authorization/*/read",
    "Microsoft.KeyVault/*/read",
    "Microsoft.Resources/subscriptions/resourceGroups/read",
    "Microsoft.Resources/subscriptions/read",
    "Microsoft.Resources/resources/read",
];

/// The roles there are.
pub const BUILT_IN: &[RoleDefinition] = &[
    RoleDefinition {
        id: "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
        name: "Owner",
        description: "Everything, also giving access to others.",
        actions: &["*"],
        not_actions: &[],
        data_actions: &[],
    },
    RoleDefinition {
        id: "b24988ac-6180-42a0-ab88-20f7382dd24c",
        name: "Contributor",
        description: "Everything but giving access to others.",
        actions: &["*"],
        not_actions: ROLE_WRITES,
        data_actions: &[],
    },
    RoleDefinition {
        id: "acdd72a7-3385-48ef-bd42-f606fba81ae7",
        name: "Reader",
        description: "Sees all resources, changes nothing.",
        actions: &["*/read"],
        not_actions: &[],
        data_actions: &[],
    },
    RoleDefinition {
        id: "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9",
        name: "User Access Administrator",
        description: "Sees all resources and gives access to others.",
        actions: &["*/read", "Microsoft.Authorization/*"],
        not_actions: &[],
        data_actions: &[],
    },
    RoleDefinition {
        id: "5e467623-bb1f-42f4-a55d-6e525e11384b",
        name: "Backup Contributor",
        description: "Everything with backups and vaults but giving access to others.",
        actions: &[
            "Microsoft.Authorization/*/read",
            "Microsoft.RecoveryServices/*",
            "Microsoft.Resources/subscriptions/resourceGroups/read",
            "Microsoft.Resources/subscriptions/read",
            "Microsoft.Resources/resources/read",
            "Microsoft.Resources/deployments/*",
            "Microsoft.Storage/storageAccounts/read",
            "Microsoft.Compute/*/read",
        ],
        not_actions: &[],
        data_actions: &[],
    },
    RoleDefinition {
        id: "00c29273-979b-4161-815c-10b084fb9324",
        name: "Backup Operator",
        description: "Backs up and restores; does not remove backups or change policies.",
        actions: BACKUP_OPERATE,
        not_actions: &[],
        data_actions: &[],
    },
    RoleDefinition {
        id: "a795c7a0-d4a2-40c1-ae25-d81f01202912",
        name: "Backup Reader",
        description: "Sees backups, changes nothing.",
        actions: BACKUP_READ,
        not_actions: &[],
        data_actions: &[],
    },
    RoleDefinition {
        id: "9980e02c-c2be-4d73-94e8-173b1dc7cf3c",
        name: "Virtual Machine Contributor",
        description: "Makes and changes machines and disks, and has them protected.",
        actions: &[
            "Microsoft.Authorization/*/read",
            "Microsoft.Compute/virtualMachines/*",
            "Microsoft.Compute/disks/*",
            "Microsoft.Compute/locations/*",
            "Microsoft.RecoveryServices/vaults/read",
            "Microsoft.RecoveryServices/vaults/backupPolicies/read",
            "Microsoft.RecoveryServices/vaults/backupPolicies/write",
            "Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems/*/read",
            "Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems/read",
            "Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems/write",
            "Microsoft.RecoveryServices/locations/*",
            "Microsoft.Resources/deployments/*",
            "Microsoft.Resources/subscriptions/resourceGroups/read",
            "Microsoft.Resources/subscriptions/read",
            "Microsoft.Resources/resources/read",
            "Microsoft.Storage/storageAccounts/read",
        ],
        not_actions: &[],
        data_actions: &[],
    },
    RoleDefinition {
        id: "f25e0fa2-a7c8-4377-a976-54943a77a395",
        name: "Key Vault Contributor",
        description: "Manages key vaults, but reads nothing that is in them.",
        actions: &[
            "Microsoft.Authorization/*/read",
            "Microsoft.KeyVault/*",
            "Microsoft.Resources/subscriptions/resourceGroups/read",
            "Microsoft.Resources/subscriptions/read",
            "Microsoft.Resources/resources/read",
        ],
        not_actions: &[
            "Microsoft.KeyVault/locations/deletedVaults/purge/action",
            "Microsoft.KeyVault/hsmPools/*",
            "Microsoft.KeyVault/managedHsms/*",
        ],
        data_actions: &[],
    },
    RoleDefinition {
        id: "00482a5a-887f-4fb3-b363-3b7fe8e74483",
        name: "Key Vault Administrator",
        description: "Everything with keys and secrets of a key vault.",
        actions: VAULT_READ,
        not_actions: &[],
        data_actions: &["Microsoft.KeyVault/vaults/*"],
    },
    RoleDefinition {
        id: "14b46e9e-c2b7-41b4-b07b-48a6ebf60603",
        name: "Key Vault Crypto Officer",
        description: "Everything with the keys of a key vault.",
        actions: VAULT_READ,
        not_actions: &[],
        data_actions: &[
            "Microsoft.KeyVault/vaults/keys/*",
            "Microsoft.KeyVault/vaults/keyrotationpolicies/*",
        ],
    },
    RoleDefinition {
        id: "12338af0-0e69-4776-bea7-57ae8d297424",
        name: "Key Vault Crypto User",
        description: "Uses keys.",
        actions: DATA_ALONE,
        not_actions: &[],
        data_actions: &[
            "Microsoft.KeyVault/vaults/keys/read",
            "Microsoft.KeyVault/vaults/keys/update/action",
            "Microsoft.KeyVault/vaults/keys/backup/action",
            "Microsoft.KeyVault/vaults/keys/encrypt/action",
            "Microsoft.KeyVault/vaults/keys/decrypt/action",
            "Microsoft.KeyVault/vaults/keys/wrap/action",
            "Microsoft.KeyVault/vaults/keys/unwrap/action",
            "Microsoft.KeyVault/vaults/keys/sign/action",
            "Microsoft.KeyVault/vaults/keys/verify/action",
        ],
    },
    RoleDefinition {
        id: "e147488a-f6f5-4113-8e2d-b22465e65bf6",
        name: "Key Vault Crypto Service Encryption User",
        description: "Reads keys, wraps and unwraps with them.",
        actions: DATA_ALONE,
        not_actions: &[],
        data_actions: &[
            "Microsoft.KeyVault/vaults/keys/read",
            "Microsoft.KeyVault/vaults/keys/wrap/action",
            "Microsoft.KeyVault/vaults/keys/unwrap/action",
        ],
    },
    RoleDefinition {
        id: "b86a8fe4-44ce-4948-aee5-eccb2c155cd7",
        name: "Key Vault Secrets Officer",
        description: "Everything with the secrets of a key vault.",
        actions: VAULT_READ,
        not_actions: &[],
        data_actions: &["Microsoft.KeyVault/vaults/secrets/*"],
    },
    RoleDefinition {
        id: "4633458b-17de-408a-b874-0445c86b69e6",
        name: "Key Vault Secrets User",
        description: "Reads secrets.",
        actions: DATA_ALONE,
        not_actions: &[],
        data_actions: &[
            "Microsoft.KeyVault/vaults/secrets/getSecret/action",
            "Microsoft.KeyVault/vaults/secrets/readMetadata/action",
        ],
    },
    RoleDefinition {
        id: "21090545-7ca7-4776-b22c-e363652d74d2",
        name: "Key Vault Reader",
        description: "Sees key vaults and what is in them, but no value of a secret.",
        actions: VAULT_READ,
        not_actions: &[],
        data_actions: &[
            "Microsoft.KeyVault/vaults/*/read",
            "Microsoft.KeyVault/vaults/secrets/readMetadata/action",
        ],
    },
    RoleDefinition {
        // Not a published one: the custom role that the published guide tells to make, ready to be assigned.
        id: "6b1a7cf2-58a4-4e0c-9d3b-0c0f7e5d2a91",
        name: "Key Vault Backup Reader",
        description: "What the backup service needs in a key vault of the role-based model: get, list and backup.",
        actions: DATA_ALONE,
        not_actions: &[],
        data_actions: &[
            "Microsoft.KeyVault/vaults/keys/read",
            "Microsoft.KeyVault/vaults/keys/backup/action",
            "Microsoft.KeyVault/vaults/secrets/getSecret/action",
            "Microsoft.KeyVault/vaults/secrets/readMetadata/action",
            "Microsoft.KeyVault/vaults/secrets/backup/action",
        ],
    },
];

impl RoleDefinition {
    /// The role of this name, whatever its letter case, or of this id.
    #[must_use]
    pub fn find(name_or_id: &str) -> Option<&'static Self> {
        BUILT_IN.iter().find(|role| {
            role.name.eq_ignore_ascii_case(name_or_id) || role.id.eq_ignore_ascii_case(name_or_id)
        })
    }

    /// Whether the role allows an action on a resource.
    #[must_use]
    pub fn allows(&self, action: &str) -> bool {
        let any = |patterns: &[&str]| patterns.iter().any(|pattern| matches(pattern, action));
        any(self.actions) && !any(self.not_actions)
    }

    /// Whether the role allows an action on data.
    #[must_use]
    pub fn allows_data(&self, action: &str) -> bool {
        self.data_actions.iter().any(|pattern| matches(pattern, action))
    }
}

/// Whether a pattern with `*` covers an action, without regard to case.
fn matches(pattern: &str, action: &str) -> bool {
    let mut parts = pattern.split('*');
    let starts =
        |text: &str, part: &str| text.get(..part.len()).is_some_and(|t| t.eq_ignore_ascii_case(part));
    let first = parts.next().unwrap_or_default();
    if !starts(action, first) {
        return false;
    }
    let mut rest = &action[first.len()..];
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            // The last part stands at the end; the shortest runs before it leave the most room.
            return rest.len() >= part.len()
                && rest.is_char_boundary(rest.len() - part.len())
                && starts(&rest[rest.len() - part.len()..], part);
        }
        if part.is_empty() {
            // Two stars are one, also where nothing is left.
            continue;
        }
        let found = rest.char_indices().map(|(at, _)| at).find(|at| starts(&rest[*at..], part));
        let Some(at) = found else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

/// Whether an assignment at `scope` counts for the resource `id`: the scope is `/`, the id itself, or one that contains
/// it. Letter case does not count.
#[must_use]
pub fn scope_contains(scope: &str, id: &str) -> bool {
    let segments = |text: &str| -> Vec<String> {
        text.split('/').filter(|s| !s.is_empty()).map(str::to_lowercase).collect()
    };
    segments(id).starts_with(&segments(scope))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns() {
        for (pattern, action, covers) in [
            ("*", "A/b/read", true),
            ("*/read", "Microsoft.KeyVault/vaults/read", true),
            ("*/read", "Microsoft.KeyVault/vaults/write", false),
            ("Microsoft.KeyVault/*", "microsoft.keyvault/VAULTS/write", true),
            ("Microsoft.KeyVault/vaults/*/read", "Microsoft.KeyVault/vaults/keys/read", true),
            ("Microsoft.KeyVault/vaults/*/read", "Microsoft.KeyVault/vaults/read", false),
            ("a/*/b/*/c", "a/x/b/b/b/y/c", true),
            ("a/*/b/*/c", "a/b/c", false),
            ("a/b", "a/b/c", false),
            ("a/b", "a/b", true),
            ("*é*", "a/é/b", true),
        ] {
            assert_eq!(matches(pattern, action), covers, "{pattern} {action}");
        }
    }

    #[test]
    fn roles_as_published() {
        let role = |name| RoleDefinition::find(name).unwrap();
        let grant = "Microsoft.Authorization/roleAssignments/write";
        assert!(role("owner").allows(grant) && !role("Contributor").allows(grant));
        assert!(role("User Access Administrator").allows(grant));
        let remove =
            "Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems/delete";
        let backup = "Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems/backup/action";
        assert!(role("Backup Contributor").allows(remove) && !role("Backup Operator").allows(remove));
        assert!(role("Backup Operator").allows(backup) && !role("Backup Reader").allows(backup));
        assert!(!role("Backup Operator").allows("Microsoft.RecoveryServices/vaults/backupPolicies/write"));
        assert!(!role("Owner").allows_data("Microsoft.KeyVault/vaults/secrets/getSecret/action"));
        let purge = "Microsoft.KeyVault/locations/deletedVaults/purge/action";
        assert!(!role("Key Vault Contributor").allows(purge) && role("Contributor").allows(purge));
        assert_eq!(RoleDefinition::find("ACDD72A7-3385-48EF-BD42-F606FBA81AE7").unwrap().name, "Reader");
    }

    #[test]
    fn no_id_or_name_twice() {
        for (index, role) in BUILT_IN.iter().enumerate() {
            assert!(BUILT_IN[..index].iter().all(|other| other.id != role.id && other.name != role.name));
        }
    }

    #[test]
    fn scopes() {
        let vault = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/kv1";
        for scope in ["/", "", "/subscriptions/S", "/subscriptions/s/resourcegroups/RG/", vault] {
            assert!(scope_contains(scope, vault), "{scope}");
        }
        for scope in ["/subscriptions/s2", "/subscriptions/s/resourceGroups/r", &format!("{vault}/x")] {
            assert!(!scope_contains(scope, vault), "{scope}");
        }
    }

    #[test]
    fn two_stars_are_one() {
        assert!(matches("*/read**", "vaults/read"));
        assert!(matches("**", "") && matches("a**", "a") && !matches("a**b", "a"));
    }

    proptest! {
        #[test]
        fn any_pattern_ends(pattern in "[a-cé*/]{0,12}", action in "[a-cé/]{0,12}") {
            let expected = {
                // A second matcher, by recursion over characters.
                fn go(pattern: &[char], action: &[char]) -> bool {
                    match pattern.split_first() {
                        None => action.is_empty(),
                        Some(('*', rest)) => (0..=action.len()).any(|n| go(rest, &action[n..])),
                        Some((c, rest)) => action.first() == Some(c) && go(rest, &action[1..]),
                    }
                }
                go(&pattern.chars().collect::<Vec<_>>(), &action.chars().collect::<Vec<_>>())
            };
            prop_assert_eq!(matches(&pattern, &action), expected);
        }
    }
}
