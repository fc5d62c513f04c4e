"""Reports as one HTML file that needs no other: view model, templates, inline plots, previews of media."""
