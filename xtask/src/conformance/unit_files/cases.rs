//! Cases that are written down: each has a name, a tree, verbs after `$` and the units that are asked after `?`.

pub(super) const CASES: &[&str] = &[
    "wanted by a target
    usr/lib/systemd/system/a.service: [Install]|WantedBy=m.target
    usr/lib/systemd/system/m.target: [Unit]
    $ enable a.service
    ? a a.service m.target none.service",
    "enabled twice
    usr/lib/systemd/system/a.service: [Install]|WantedBy=m.target
    $ enable a.service
    $ enable a.service
    ? a.service",
    "enabled and disabled
    usr/lib/systemd/system/a.service: [Install]|WantedBy=m.target|RequiredBy=n.target|UpheldBy=o.target|Alias=b.service
    $ enable a.service
    $ disable a.service
    ? a.service b.service",
    "disabled by another name
    usr/lib/systemd/system/a.service: [Install]|WantedBy=m.target|Alias=b.service
    $ enable a.service
    $ disable b.service
    ? a.service b.service",
    "enabled by another name
    usr/lib/systemd/system/a.service: [Install]|WantedBy=m.target
    usr/lib/systemd/system/b.service -> a.service
    $ enable b.service
    ? a.service b.service",
    "another name of another unit
    usr/lib/systemd/system/a.service: [Install]|Alias=b.service
    usr/lib/systemd/system/b.service: [Service]
    $ enable a.service
    ? a.service b.service",
    "another name that is taken
    usr/lib/systemd/system/a.service: [Install]|Alias=x.service
    usr/lib/systemd/system/b.service: [Install]|Alias=x.service
    $ enable a.service
    $ enable b.service
    $ enable --force b.service
    ? a.service b.service x.service",
    "until the next boot
    usr/lib/systemd/system/a.service: [Install]|WantedBy=m.target
    $ enable --runtime a.service
    ? a.service
    $ disable a.service
    $ disable --runtime a.service",
    "a template without an instance
    usr/lib/systemd/system/t@.service: [Install]|WantedBy=m.target
    $ enable t@.service
    $ enable t@i.service
    ? t@.service t@i.service t@j.service",
    "a template wanted by a template
    usr/lib/systemd/system/t@.service: [Install]|WantedBy=u@.target
    usr/lib/systemd/system/u@.target: [Unit]
    $ enable t@.service
    ? t@.service t@i.service",
    "a template with a default instance
    usr/lib/systemd/system/t@.service: [Install]|WantedBy=m.target|DefaultInstance=i|Alias=y@.service
    $ enable t@.service
    ? t@.service t@i.service t@j.service y@.service y@i.service
    $ disable t@.service",
    "an instance with a file of its own
    usr/lib/systemd/system/t@.service: [Install]|WantedBy=m.target|DefaultInstance=i
    usr/lib/systemd/system/t@i.service: [Install]|WantedBy=n.target
    $ enable t@.service
    $ enable t@i.service
    ? t@.service t@i.service",
    "an instance that is masked
    usr/lib/systemd/system/t@.service: [Install]|WantedBy=m.target|DefaultInstance=i
    etc/systemd/system/t@i.service -> /dev/null
    $ enable t@.service
    ? t@.service t@i.service",
    "all instances of a template
    usr/lib/systemd/system/t@.service: [Install]|WantedBy=m.target
    $ enable t@a.service t@b.service
    $ disable t@.service
    ? t@.service t@a.service",
    "others come along
    usr/lib/systemd/system/a.service: [Install]|WantedBy=m.target|Also=a.socket
    usr/lib/systemd/system/a.socket: [Install]|WantedBy=n.target|Also=a.service
    $ enable a.service
    ? a.service a.socket
    $ disable a.socket",
    "only others
    usr/lib/systemd/system/a.service: [Install]|Also=a.socket
    usr/lib/systemd/system/a.socket: [Install]|WantedBy=n.target
    ? a.service a.socket
    $ enable a.service",
    "others that are masked, or not there
    usr/lib/systemd/system/a.service: [Install]|WantedBy=m.target|Also=b.service c.service
    usr/lib/systemd/system/b.service: [Install]|WantedBy=m.target
    etc/systemd/system/b.service -> /dev/null
    $ enable a.service
    ? a.service b.service c.service",
    "nothing to enable
    usr/lib/systemd/system/a.service: [Service]
    $ enable a.service
    ? a.service",
    "masked
    usr/lib/systemd/system/a.service: [Install]|WantedBy=m.target
    $ mask a.service
    $ enable a.service
    $ disable a.service
    ? a.service
    $ unmask a.service",
    "masked until the next boot
    usr/lib/systemd/system/a.service: [Install]|WantedBy=m.target
    $ mask --runtime a.service
    ? a.service",
    "masked over a file
    etc/systemd/system/a.service: [Service]
    $ mask a.service
    $ mask --force a.service
    ? a.service",
    "masked over a link
    opt/a.service: [Service]
    etc/systemd/system/a.service -> /opt/a.service
    $ mask a.service
    $ mask --force a.service
    ? a.service",
    "masked by an empty file
    usr/lib/systemd/system/a.service: [Service]
    etc/systemd/system/a.service:
    ? a.service
    $ unmask a.service",
    "unmasked with what leads to it
    usr/lib/systemd/system/a.service: [Install]|WantedBy=m.target|Alias=b.service
    $ enable a.service
    $ mask b.service
    $ mask --force b.service
    $ unmask b.service
    ? a.service b.service",
    "linked
    opt/a.service: [Install]|WantedBy=m.target
    $ link /opt/a.service
    ? a.service
    $ enable a.service
    $ link /opt/a.service",
    "linked until the next boot
    opt/a.service: [Install]|WantedBy=m.target
    $ link --runtime /opt/a.service
    ? a.service",
    "linked and enabled by its path, and disabled
    opt/a.service: [Install]|WantedBy=m.target
    $ enable /opt/a.service
    $ disable a.service
    ? a.service",
    "linked, with other names
    opt/a.service: [Install]|WantedBy=m.target|Alias=b.service
    opt/t@.service: [Install]|WantedBy=m.target|Alias=x@.service y@i.service|DefaultInstance=q
    $ enable --runtime /opt/a.service
    $ link /opt/t@.service
    $ enable t@.service
    ? a.service b.service t@.service x@.service y@i.service",
    "linked over another
    opt/a.service: [Service]
    srv/a.service: [Service]
    $ link /opt/a.service
    $ link /srv/a.service
    $ link --force /srv/a.service
    ? a.service",
    "linked although it would be found
    usr/lib/systemd/system/a.service: [Service]
    $ link /usr/lib/systemd/system/a.service
    ? a.service",
    "linked without a file
    $ link /opt/a.service
    $ link /opt
    $ link a.service",
    "linked through a link
    srv/a.service: [Service]
    opt/a.service -> /srv/a.service
    $ link /opt/a.service
    ? a.service",
    "added
    usr/lib/systemd/system/a.service: [Service]
    usr/lib/systemd/system/m.target: [Unit]
    $ add-wants m.target a.service
    $ add-requires m.target a.service
    ? a.service m.target",
    "added to what is not there
    usr/lib/systemd/system/a.service: [Service]
    $ add-wants m.target a.service
    $ add-wants a.service m.target",
    "added to another name
    usr/lib/systemd/system/a.service: [Service]
    usr/lib/systemd/system/m.target: [Unit]
    usr/lib/systemd/system/n.target -> m.target
    $ add-wants n.target a.service
    ? a.service",
    "an instance that is added
    usr/lib/systemd/system/t@.service: [Service]
    usr/lib/systemd/system/m.target: [Unit]
    $ add-wants m.target t@i.service
    $ add-wants m.target t@.service
    ? t@.service t@i.service",
    "the default
    usr/lib/systemd/system/m.target: [Unit]
    usr/lib/systemd/system/n.target: [Unit]
    usr/lib/systemd/system/default.target -> m.target
    $ get-default
    $ set-default n.target
    $ set-default n
    $ get-default
    ? default.target m.target n.target",
    "a default that is none
    usr/lib/systemd/system/m.target: [Unit]
    etc/systemd/system/o.target -> /usr/lib/systemd/system/m.target
    $ set-default o.target
    $ set-default a.service
    $ set-default default.target
    $ set-default none.target",
    "no default
    $ get-default",
    "presets
    usr/lib/systemd/system/a.service: [Install]|WantedBy=m.target
    usr/lib/systemd/system/b.service: [Install]|WantedBy=m.target
    usr/lib/systemd/system/c.service: [Install]|WantedBy=m.target
    usr/lib/systemd/system-preset/10.preset: enable a.service|ignore c.service|disable *
    etc/systemd/system/m.target.wants/b.service -> /usr/lib/systemd/system/b.service
    etc/systemd/system/m.target.wants/c.service -> /usr/lib/systemd/system/c.service
    $ preset a.service b.service c.service
    ? a.service b.service c.service",
    "presets in order
    usr/lib/systemd/system/a.service: [Install]|WantedBy=m.target
    usr/lib/systemd/system/b.service: [Install]|WantedBy=m.target
    usr/lib/systemd/system-preset/90.preset: disable *
    etc/systemd/system-preset/10.preset: enable a.service
    $ preset-all
    ? a.service b.service",
    "presets that hide others
    usr/lib/systemd/system/a.service: [Install]|WantedBy=m.target
    usr/lib/systemd/system-preset/10.preset: disable *
    etc/systemd/system-preset/10.preset -> /dev/null
    $ preset a.service
    ? a.service",
    "presets with instances
    usr/lib/systemd/system/t@.service: [Install]|WantedBy=m.target
    usr/lib/systemd/system-preset/10.preset: enable t@.service i j|disable *
    $ preset-all
    ? t@.service t@i.service t@j.service t@k.service",
    "presets with instances, one by one
    usr/lib/systemd/system/t@.service: [Install]|WantedBy=m.target
    usr/lib/systemd/system-preset/10.preset: enable t@.service i j|disable *
    $ preset t@i.service
    $ preset t@k.service
    $ preset t@.service
    ? t@.service t@i.service t@j.service t@k.service",
    "presets, only one half
    usr/lib/systemd/system/a.service: [Install]|WantedBy=m.target
    usr/lib/systemd/system/b.service: [Install]|WantedBy=m.target
    usr/lib/systemd/system-preset/10.preset: enable a.service|disable *
    etc/systemd/system/m.target.wants/b.service -> /usr/lib/systemd/system/b.service
    $ preset-all --preset-mode=enable-only
    ? a.service b.service",
    "presets, only the other half
    usr/lib/systemd/system/a.service: [Install]|WantedBy=m.target
    usr/lib/systemd/system/b.service: [Install]|WantedBy=m.target
    usr/lib/systemd/system-preset/10.preset: enable a.service|disable *
    etc/systemd/system/m.target.wants/b.service -> /usr/lib/systemd/system/b.service
    $ preset-all --preset-mode=disable-only
    ? a.service b.service",
    "presets and templates without an instance
    usr/lib/systemd/system/t@.service: [Install]|WantedBy=m.target
    usr/lib/systemd/system/a.service: [Install]|WantedBy=m.target
    $ preset-all
    $ preset t@.service
    ? a.service t@.service",
    "reverted
    usr/lib/systemd/system/a.service: [Install]|WantedBy=m.target
    etc/systemd/system/a.service: [Install]|WantedBy=n.target
    etc/systemd/system/a.service.d/1.conf: [Service]
    run/systemd/system/a.service.d/1.conf: [Service]
    $ enable a.service
    $ revert a.service
    ? a.service",
    "reverted, with nothing behind it
    etc/systemd/system/a.service: [Install]|WantedBy=n.target
    etc/systemd/system/a.service.d/1.conf: [Service]
    $ revert a.service
    ? a.service",
    "reverted from a mask
    usr/lib/systemd/system/a.service: [Install]|WantedBy=m.target
    etc/systemd/system/a.service -> /dev/null
    run/systemd/system/a.service -> /dev/null
    $ revert a.service
    ? a.service",
    "drop-ins
    usr/lib/systemd/system/a.service: [Install]|WantedBy=m.target
    etc/systemd/system/a.service.d/1.conf: [Install]|WantedBy=n.target
    usr/lib/systemd/system/a.service.d/2.conf: [Install]|RequiredBy=o.target
    usr/lib/systemd/system/service.d/3.conf: [Install]|RequiredBy=p.target
    $ enable a.service
    ? a.service",
    "drop-ins of templates and instances
    usr/lib/systemd/system/t@.service: [Install]|WantedBy=m.target
    etc/systemd/system/t@.service.d/1.conf: [Install]|WantedBy=n.target
    etc/systemd/system/t@i.service.d/2.conf: [Install]|WantedBy=o.target
    $ enable t@i.service t@j.service
    ? t@i.service t@j.service",
    "drop-ins of dashes
    usr/lib/systemd/system/a-b.service: [Install]|WantedBy=m.target
    etc/systemd/system/a-.service.d/1.conf: [Install]|WantedBy=n.target
    $ enable a-b.service
    ? a-b.service",
    "specifiers
    usr/lib/systemd/system/a-b@.service: [Install]|WantedBy=%i.target %j.target %p.target %N.target %n.target|Alias=x-%i@%i.service
    $ enable a-b@i.service
    ? a-b@i.service",
    "specifiers of the host
    etc/machine-id: 0123456789abcdef0123456789abcdef
    etc/os-release: ID=boat|VERSION_ID=7|BUILD_ID=8|VARIANT_ID=9|IMAGE_ID=10|IMAGE_VERSION=11
    usr/lib/systemd/system/a.service: [Install]|WantedBy=m-%m.target o-%o.target w-%w.target B-%B.target W-%W.target M-%M.target A-%A.target U-%U.target u-%u.target H-%H.target l-%l.target v-%v.target a-%a.target b-%b.target
    $ enable a.service
    ? a.service",
    "specifiers that are none in names
    usr/lib/systemd/system/a.service: [Install]|WantedBy=%I.target %J.target %P.target %f.target %t.target %Z.target %%.target %h.target %s.target %q.target %S.target
    $ enable a.service
    ? a.service",
    "wrong names
    usr/lib/systemd/system/a.service: [Install]|WantedBy=m m.target n.none|Alias=b.socket c@.service d@x.service e.service f/a.service g.wants/a.service
    $ enable a.service
    ? a.service e.service",
    "another name in a folder
    usr/lib/systemd/system/a.service: [Install]|Alias=m.target.wants/a.service n.target.requires/a.service o.target.wants/b.service p.target.upholds/a.service
    $ enable a.service
    ? a.service",
    "kinds without other names
    usr/lib/systemd/system/e.mount: [Install]|WantedBy=m.target|Alias=f.mount
    $ enable e.mount
    ? e.mount f.mount",
    "kinds without templates
    usr/lib/systemd/system/e@.mount: [Install]|WantedBy=m.target
    $ enable e@i.mount
    ? e@.mount e@i.mount",
    "a link within the directories
    usr/lib/systemd/system/a.service: [Install]|WantedBy=m.target
    etc/systemd/system/a.service -> /usr/lib/systemd/system/a.service
    $ enable a.service
    ? a.service",
    "a link to nothing
    etc/systemd/system/x.service -> /usr/lib/systemd/system/a.service
    $ enable x.service
    $ disable x.service
    ? x.service a.service",
    "links in a circle
    etc/systemd/system/a.service -> b.service
    etc/systemd/system/b.service -> a.service
    $ enable a.service
    $ disable a.service
    ? a.service",
    "links of two steps
    usr/lib/systemd/system/a.service: [Install]|WantedBy=m.target
    etc/systemd/system/b.service -> c.service
    usr/lib/systemd/system/c.service -> a.service
    $ enable b.service
    ? a.service b.service c.service",
    "links that leave the tree
    etc/systemd/system/a.service -> ../../../../../../../../../../etc/passwd
    etc/systemd/system/m.target.wants/b.service -> /etc/hostname
    usr/lib/systemd/system/b.service: [Install]|WantedBy=m.target
    $ enable a.service
    $ enable b.service
    $ disable b.service
    ? a.service b.service",
    "what a generator made
    run/systemd/generator/a.service: [Install]|WantedBy=m.target
    run/systemd/generator.late/b.service: [Install]|WantedBy=m.target
    run/systemd/transient/c.service: [Install]|WantedBy=m.target
    $ enable a.service
    $ enable b.service
    $ enable c.service
    $ disable a.service
    $ mask a.service
    ? a.service b.service c.service",
    "what is wanted by the system
    usr/lib/systemd/system/a.service: [Install]|WantedBy=m.target
    usr/lib/systemd/system/m.target.wants/a.service -> ../a.service
    usr/lib/systemd/system/t@.service: [Install]|WantedBy=m.target
    usr/lib/systemd/system/m.target.wants/t@i.service -> ../t@.service
    ? a.service t@.service t@i.service",
    "again
    usr/lib/systemd/system/a.service: [Install]|WantedBy=m.target
    etc/systemd/system/old.target.wants/a.service -> /usr/lib/systemd/system/a.service
    $ reenable a.service
    ? a.service",
    "a file of the administrator's
    etc/systemd/system/a.service: [Install]|WantedBy=m.target
    usr/lib/systemd/system/a.service: [Install]|WantedBy=n.target
    $ enable a.service
    ? a.service
    $ disable a.service",
    "relative links are the same
    usr/lib/systemd/system/a.service: [Install]|WantedBy=m.target|Alias=b.service
    etc/systemd/system/m.target.wants/a.service -> ../../../../usr/lib/systemd/system/a.service
    etc/systemd/system/b.service -> ../../../usr/lib/systemd/system/a.service
    $ enable a.service
    ? a.service b.service",
    "a folder where a unit would be
    etc/systemd/system/a.service/x: 1
    usr/lib/systemd/system/a.service: [Install]|WantedBy=m.target
    $ enable a.service
    ? a.service",
    "quotes and backslashes
    usr/lib/systemd/system/a\\x2db.service: [Install]|WantedBy=\"m.target\" n\\x2d.target|Alias='c\\x2d.service'
    $ enable a\\x2db.service
    ? a\\x2db.service",
    "values that are cut short
    usr/lib/systemd/system/a.service: [Install]|WantedBy=\"m.target|RequiredBy=n.target
    $ enable a.service
    ? a.service",
];
