# For login shells. The machine writes this file anew when it boots; put your own into /.sprite/etc/profile.d.
for sprite_each in /.sprite/bin ${HOME:+"$HOME/.local/bin"}; do
  case :$PATH: in
    *:"$sprite_each":*) ;;
    *) PATH=$sprite_each:$PATH ;;
  esac
done
export PATH
export BROWSER="${BROWSER:-/.sprite/bin/sprite-browser}"
for sprite_each in /.sprite/etc/profile.d/*.sh; do
  if [ -r "$sprite_each" ]; then . "$sprite_each"; fi
done
unset sprite_each
