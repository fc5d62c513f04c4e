"""Reports as one HTML file without references to other files: view model, templates, inline plots and previews of media."""
